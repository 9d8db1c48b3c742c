#![doc = include_str!("../README.md")]
//!
//! # Testing your own
//!
//! [`module_cache_conformance!`] checks the contract for a [`ModuleCache`](module_cache_core::ModuleCache) and
//! [`entry_store_conformance!`] for an [`EntryStore`](module_cache_core::EntryStore).
//!
//! Add this crate to the `dev-dependencies`, write a function that makes a fresh, empty cache and states its capabilities,
//! and pass a module name and the function to the macro:
//!
//! ```test_harness
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! use module_cache_core::instance::InstanceId;
//! use module_cache_core::{CacheError, Engine, ModuleCache, ModuleHash, SaveOutcome};
//! use module_cache_testkit::{Capabilities, Fixture, TestEngine, module_cache_conformance};
//!
//! #[derive(Debug)]
//! struct MyCache<M>(Mutex<HashMap<(ModuleHash, InstanceId), M>>);
//!
//! impl<E: Engine<Module: std::fmt::Debug>> ModuleCache<E> for MyCache<E::Module> {
//!     fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
//!         Ok(self.0.lock().unwrap().get(&(hash, engine.instance().id())).cloned())
//!     }
//!
//!     fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
//!         Ok(self.load(hash, engine)?.is_some())
//!     }
//!
//!     fn save(&self, hash: ModuleHash, engine: &E, module: &E::Module) -> Result<SaveOutcome, CacheError> {
//!         self.0.lock().unwrap().insert((hash, engine.instance().id()), module.clone());
//!         Ok(SaveOutcome::Stored { bytes: engine.weight(module).unwrap_or(0) })
//!     }
//!
//!     fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
//!         Ok(self.0.lock().unwrap().remove(&(hash, engine.instance().id())).is_some())
//!     }
//!
//!     fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
//!         self.load(hash, engine).ok().flatten()
//!     }
//! }
//!
//! fn fixture() -> Fixture<MyCache<<TestEngine as Engine>::Module>> {
//!     Fixture::new(MyCache(Mutex::default()), Capabilities::LIVE)
//! }
//!
//! // A module `my_cache` full of tests.
//! module_cache_conformance!(my_cache, fixture);
//! ```
//!
//! For a storage, add how it is opened again, and what must outlive it:
//!
//! ```test_harness
//! use module_cache_testkit::{Capabilities, Fixture, ReferenceStore, entry_store_conformance};
//!
//! fn fixture() -> Fixture<ReferenceStore> {
//!     // let dir = tempfile::tempdir().unwrap();
//!     let store = ReferenceStore::new();
//!     let again = store.clone();
//!     let capabilities = Capabilities { permits: true, ..Capabilities::STORED };
//!     Fixture::new(store, capabilities).reopened_by(move || again.clone()) // .keeping(dir)
//! }
//!
//! entry_store_conformance!(my_store, fixture);
//! ```
//!
//! # What is in the suite
//!
//! All cases run with [`TestEngine`], whose `deserialize` checks what a real engine cannot: it panics on an artifact of
//! another engine or with a damaged byte, and the case fails. Capabilities that a cache does not claim in its
//! [`Capabilities`] are asserted to be absent.
//!
//! The suite cannot damage your storage, kill your process or fill your disk. A backend needs its own tests for that.
//!
//! # Doubles
//!
//! For tests of code that uses caches: [`ReferenceCache`] and [`ReferenceStore`] are correct and simple, [`Observed`]
//! counts, holds and breaks the calls of what it wraps, [`FailingCache`] never works.

#[doc(hidden)]
pub mod cases;

mod capabilities;
mod conformance;
mod failing_cache;
mod fixture;
mod forge;
mod hold;
mod in_time;
mod observed;
mod reference_cache;
mod reference_store;
mod test_engine;
mod test_module;
mod wasm;

pub use capabilities::Capabilities;
pub use failing_cache::FailingCache;
pub use fixture::Fixture;
pub use forge::forge_signature;
pub use hold::Hold;
pub use observed::{Fault, Method, Observed};
pub use reference_cache::ReferenceCache;
pub use reference_store::ReferenceStore;
pub use test_engine::TestEngine;
pub use test_module::TestModule;
pub use wasm::wasm;
