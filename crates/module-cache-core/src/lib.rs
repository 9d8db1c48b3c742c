#![doc = include_str!("../README.md")]
//!
//! # Safety in one paragraph
//!
//! A cache hands machine code to a runtime that will execute it. Its safety rests on three `unsafe` promises: an
//! [`ArtifactEngine`] promises that equal [`EngineId`]s mean interchangeable code; [`SealedEntry::from_artifact`],
//! [`SealedEntry::from_file`] and [`SealedEntry::from_read`] promise that bytes were made by such an engine;
//! [`Trust::unauthenticated`] promises that only trusted users can write to a storage. Everything built on top is safe code,
//! and [`entry::open_entry`] is the one place where stored bytes become a module.

pub mod entry;
pub mod format;
pub mod instance;
pub mod per_thread;
pub mod permit;

mod artifact;
mod code_fields;
mod engine;
mod engine_id;
mod entry_key;
mod entry_store;
mod error;
mod forward;
mod found_module;
mod hashed_module;
#[cfg(feature = "ed25519")]
mod key_pair;
mod listed_entry;
mod module_cache;
mod module_hash;
mod optional;
mod parallel;
mod parallel_hash;
mod save_outcome;
mod sealed_entry;
mod shared_key;
mod stats;
mod store_cache;
mod tiers;
mod trust;

pub use artifact::Artifact;
pub use code_fields::CodeFields;
pub use engine::{ArtifactEngine, Compile, Engine};
pub use engine_id::{EngineId, EngineIdBuilder};
pub use entry_key::EntryKey;
pub use entry_store::EntryStore;
pub use error::{CacheError, EngineError, InvalidEntry, panic_message};
pub use found_module::FoundModule;
pub use hashed_module::HashedModule;
#[cfg(feature = "ed25519")]
pub use key_pair::{SigningKey, VerifyingKey};
pub use listed_entry::ListedEntry;
pub use module_cache::ModuleCache;
pub use module_hash::{ModuleHash, ParseHashError};
pub use save_outcome::{SaveOutcome, SkipReason};
pub use sealed_entry::SealedEntry;
pub use shared_key::{KeyId, ParseKeyError, SharedKey};
pub use stats::{CacheStats, Counters};
pub use store_cache::StoreCache;
pub use tiers::Tiers;
pub use trust::{AcceptedKey, Trust};
