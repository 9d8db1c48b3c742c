//! Two caches as one: a fast one in front, a slower one that is asked when the first has nothing.
//!
//! ```
//! use module_cache_core::{Compile, ModuleCache, ModuleHash};
//! use module_cache_fallback::FallbackExt;
//! # use module_cache_testkit::{ReferenceCache, TestEngine, wasm};
//! # let (fast, slow) = (ReferenceCache::default(), ReferenceCache::default());
//! # let (engine, wasm) = (TestEngine::new("doc"), wasm(1, 100));
//!
//! let key = ModuleHash::of(&wasm);
//! slow.save(key, &engine, &engine.compile(&wasm)?)?;
//!
//! let cache = (&fast).with_fallback(&slow);
//! assert!(cache.load(key, &engine)?.is_some());
//! // What was found below is above from now on.
//! assert!(fast.load(key, &engine)?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Chains are built from the front: `memory.with_fallback(disk).with_fallback(remote)`.

#![forbid(unsafe_code)]

mod fallback_cache;

pub use fallback_cache::{FallbackCache, FallbackExt};
