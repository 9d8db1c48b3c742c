#![cfg_attr(feature = "cranelift", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "cranelift"),
    doc = "Engines of module-cache for a wasmtime that only loads."
)]
//!
//! A live module belongs to one `wasmtime::Engine`. Create one engine of this crate from it and clone that one where
//! another is needed: clones share the modules that a cache keeps in memory.
//!
//! # Features
//!
//! - `cranelift` (default): compiles, and computes ids. Hosts without it only load, with an id that was computed elsewhere.
//! - `component-model`: components, with `WasmtimeComponentEngine`.
//! - `winch`: pairs of engines for two tiers.
//!
//! # What it takes to load
//!
//! wasmtime keeps a file open as long as the module lives: the file of mapped code, or one in memory for the data of a
//! module that is not mapped. A memory cache bounds their number. Code of less than 64 KiB (on aarch64, 320 KiB) is read
//! into memory, and so is code that cannot be mapped, for instance on a file system that is mounted `noexec`.
//!
#![doc = include_str!("identity.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod accepted;
#[cfg(feature = "cranelift")]
mod code_fields;
#[cfg(feature = "cranelift")]
mod compile_pool;
#[cfg(feature = "cranelift")]
mod cpu_level;
#[cfg(feature = "cranelift")]
mod engine_builder;
#[cfg(feature = "cranelift")]
mod engine_id;
mod load_artifact;
#[cfg(feature = "cranelift")]
mod precompiler;
#[cfg(feature = "component-model")]
mod wasmtime_component_engine;
mod wasmtime_engine;
mod weight;

#[cfg(feature = "cranelift")]
pub use cpu_level::CpuLevel;
#[cfg(feature = "cranelift")]
pub use engine_builder::EngineBuilder;
#[cfg(feature = "cranelift")]
pub use precompiler::{PrecompiledCode, WasmtimePrecompiler};
#[cfg(feature = "component-model")]
pub use wasmtime_component_engine::WasmtimeComponentEngine;
pub use wasmtime_engine::WasmtimeEngine;
