#![cfg_attr(feature = "cranelift", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "cranelift"),
    doc = "The engine of module-cache for a wasmer without Cranelift."
)]
//!
//! # Keep the engine
//!
//! A live module belongs to one [`wasmer::Engine`], and wasmer frees its code when that engine is dropped. Three things
//! follow:
//!
//! - Keep the engine for as long as a module of it is used. wasmer itself does not ensure that.
//! - Create one engine, create one [`WasmerEngine`] from it, and clone that: clones share the modules that a cache keeps in
//!   memory. Engines that are created for each request share only what is stored on disk.
//! - Put a memory cache in front of the disk and do not bound it tightly. Each load adds the module's code to the engine
//!   once more, and evicting a module frees next to nothing, which is why modules have no
//!   [`weight`](module_cache_core::Engine::weight) here. The disk space of an entry that was removed is freed when the
//!   engine is dropped.
//!
//! While it compiles, wasmer holds a lock that loads with the same engine need too. A host that compiles often should use a
//! second engine of equal id for that: each loads what the other stores.
//!
//! # Middleware
//!
//! Middleware changes the code, and wasmer does not describe how. So the caller says whether an engine has any:
//! [`without_middleware`] refuses an engine that has, and [`with_middleware`] takes a name that distinguishes its code from
//! all other code. Middleware that serves one module only, such as wasmer's metering, panics at the second; create an
//! engine for each module then. All of them share the stored code under the one name.
//!
//! [`without_middleware`]: WasmerEngine::without_middleware
//! [`with_middleware`]: WasmerEngine::with_middleware
//!
//! # Features
//!
//! - `cranelift` (default), `singlepass`, `llvm`: compile with it. Several may be enabled; the
//!   [`wasmer::Engine`] decides. `tiers` needs the first two.
//! - `compiler`: compile with a compiler that the embedder supplies.
//! - `sys`: only load, with ids that were computed elsewhere.
//! - `js`: a browser compiles, and live modules are cached in memory. A browser does not hand out compiled code, so nothing
//!   can be stored. This has no effect together with any of the others.
//! - `wasix`: any cache of this project as a module cache of wasmer-wasix.
//!
#![doc = include_str!("identity.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(feature = "sys", feature = "js")))]
compile_error!(
    "choose how wasmer runs: `cranelift`, `singlepass` or `llvm` to compile, `sys` to load only, `js` in a browser"
);

#[cfg(feature = "sys")]
mod artifact;
#[cfg(feature = "sys")]
mod catch_panic;
#[cfg(feature = "compiler")]
mod code_fields;
#[cfg(any(feature = "compiler", all(feature = "js", not(feature = "sys"))))]
mod compile;
#[cfg(feature = "compiler")]
mod cpu_level;
#[cfg(feature = "compiler")]
mod engine_id;
#[cfg(feature = "compiler")]
mod own_threads;
#[cfg(all(feature = "cranelift", feature = "singlepass"))]
mod tiers;
#[cfg(feature = "wasix")]
pub mod wasix;
#[cfg(any(feature = "sys", feature = "js"))]
mod wasmer_engine;

#[cfg(feature = "compiler")]
pub use cpu_level::CpuLevel;
#[cfg(all(feature = "cranelift", feature = "singlepass"))]
pub use tiers::tiers;
#[cfg(any(feature = "sys", feature = "js"))]
pub use wasmer_engine::WasmerEngine;
