//! Load-or-compile: a module by its hash, from the cache if it is there, compiled once if it is not.
//!
//! ```
//! use module_cache_core::HashedModule;
//! use module_cache_loader::{ModuleLoader, Source};
//! # use module_cache_testkit::{ReferenceCache, TestEngine, wasm};
//! # let (engine, cache, wasm) = (TestEngine::new("doc"), ReferenceCache::default(), wasm(1, 100));
//!
//! let loader = ModuleLoader::new(engine, cache);
//! let module = HashedModule::new(wasm);
//! assert_eq!(loader.load(&module)?.source, Source::Compiled);
//! assert_ne!(loader.load(&module)?.source, Source::Compiled);
//! # Ok::<(), module_cache_loader::LoadError>(())
//! ```

#![forbid(unsafe_code)]

mod compile_slots;
mod flight;
mod load_error;
mod loaded;
mod module_loader;
mod stats;

pub use load_error::LoadError;
pub use loaded::{Loaded, Source};
pub use module_loader::ModuleLoader;
pub use stats::LoaderStats;
