//! What every part of module-cache agrees on: engines, keys, caches, errors and the sealed entry.
//!
//! A **module cache** keeps what a WebAssembly runtime compiled, so that the next start loads machine
//! code instead of making it again. This crate holds the words for that and no storage: a runtime is
//! described by [`Engine`] (and [`Compile`], [`ArtifactEngine`]), a cache of live modules is a
//! [`ModuleCache`], a store of bytes is an [`EntryStore`], and what lies in a store is a
//! [`SealedEntry`]. Backends are crates of their own that depend on this one alone.
//!
//! ```
//! use module_cache_core::{EngineId, EntryKey, ModuleHash};
//!
//! let wasm = b"\0asm\x01\0\0\0";
//! let engine = EngineId::builder("example-1.0").field("target", "x86_64").build();
//! let key = EntryKey::new(ModuleHash::of(wasm), engine);
//! assert_eq!(key.module().to_string().len(), 64);
//! ```
//!
//! # Safety in one paragraph
//!
//! A cache hands machine code to a runtime that will execute it. Three `unsafe` promises carry that:
//! an [`ArtifactEngine`] promises that equal [`EngineId`]s mean interchangeable code;
//! [`SealedEntry::from_artifact`] and [`SealedEntry::from_file`] promise that bytes came out of such an
//! engine; [`Trust::unauthenticated`] promises that nobody else can write to a storage. Everything built
//! on top is safe code, and [`load_entry`] is the one place where stored bytes become a module.

mod artifact;
mod artifact_digest;
mod compile_permit;
mod engine;
mod engine_id;
mod engine_instance;
mod entry_key;
mod entry_store;
mod error;
mod footer;
mod forward;
mod hashed_module;
mod hex;
mod load_entry;
mod module_cache;
mod module_hash;
mod parallel_hash;
mod save_outcome;
mod sealed_entry;
mod signing_key;
mod stats;
mod trust;

pub use artifact::Artifact;
pub use compile_permit::CompilePermit;
pub use engine::{ArtifactEngine, Compile, Engine};
pub use engine_id::{EngineId, EngineIdBuilder};
pub use engine_instance::EngineInstance;
pub use entry_key::EntryKey;
pub use entry_store::EntryStore;
pub use error::{CacheError, EngineError, InvalidEntry};
pub use footer::{FOOTER_LEN, Footer, strip_footer};
pub use hashed_module::HashedModule;
pub use load_entry::{load_entry, open_entry, put_entry, save_entry};
pub use module_cache::ModuleCache;
pub use module_hash::{ModuleHash, ParseHashError};
pub use save_outcome::{SaveOutcome, SkipReason};
pub use sealed_entry::SealedEntry;
pub use signing_key::{KeyId, ParseKeyError, SigningKey};
pub use stats::{CacheStats, Counters};
pub use trust::Trust;
