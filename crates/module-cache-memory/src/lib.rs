//! Caches of live modules in memory: the first tier, where a hit costs nanoseconds.
//!
//! | | [`SharedCache`] | [`ThreadLocalCache`] |
//! |---|---|---|
//! | a module saved by one thread is found by | all threads | that thread |
//! | modules must be `Send + Sync` | to share the cache | never |
//! | a hit takes | a shared lock that other cores leave alone | no lock |
//! | the weight is bounded | in total | for each thread |
//!
//! Take [`SharedCache`] where threads share their modules, which is nearly everywhere; take
//! [`ThreadLocalCache`] where a module cannot leave its thread, as in a browser, or where each thread has
//! an engine of its own. [`in_memory`] makes that choice by target. All of them are handles: clones share
//! the modules. Behind them, `module-cache-fallback` puts a disk.
//!
//! ```
//! use module_cache_core::{Engine, EngineId, EngineInstance, ModuleCache, ModuleHash};
//! # struct Runtime(EngineId, EngineInstance);
//! # impl Engine for Runtime {
//! #     type Module = std::sync::Arc<str>;
//! #     fn id(&self) -> &EngineId { &self.0 }
//! #     fn instance(&self) -> EngineInstance { self.1 }
//! #     fn weight(&self, module: &Self::Module) -> Option<u64> { Some(module.len() as u64) }
//! # }
//! # let engine = Runtime(EngineId::builder("example").build(), EngineInstance::new());
//! # let module = std::sync::Arc::from("compiled code");
//! use module_cache_memory::SharedCache;
//!
//! let cache = SharedCache::with_max_weight(64 << 20);
//! let key = ModuleHash::of(b"\0asm\x01\0\0\0");
//! assert!(cache.load(key, &engine)?.is_none());
//! assert!(cache.save(key, &engine, &module)?.is_stored());
//! assert_eq!(cache.load(key, &engine)?, Some(module));
//! # Ok::<(), module_cache_core::CacheError>(())
//! ```
//!
//! # What is kept, and for how long
//!
//! A live module belongs to the engine object that made it, so modules are kept by
//! [`ModuleHash`](module_cache_core::ModuleHash) *and* [`EngineInstance`](module_cache_core::EngineInstance):
//! engines of equal id never see each other's. Modules of an engine that is gone are found by nobody and
//! leave as they are evicted.
//!
//! The bound is on the sum of [`Engine::weight`](module_cache_core::Engine::weight), in bytes, and holds at
//! every moment. A module that its engine cannot weigh counts as nothing, so a cache of such modules grows
//! without bound until they are removed; this is right for engines whose code lives as long as they do,
//! where evicting a module frees nothing.
//!
//! # What leaves when room is needed
//!
//! The cache follows whichever of two policies does better at the time: LRU, which keeps what was asked for
//! last, or W-TinyLFU (Einziger, Friedman and Manes, *`TinyLFU`: A Highly Efficient Cache Admission Policy*,
//! ACM Transactions on Storage, 2017), which keeps what is asked for most often. It knows which one does
//! better because it remembers what each would hold if it were alone (Subramanian, Smaragdakis and Loh,
//! *Adaptive Caches: Effective Shaping of Cache Behavior to Workloads*, MICRO 2006). So modules that are asked
//! for only once do not wash out those in use, a round through slightly more modules than there is room for
//! does not miss every time, and what was popular yesterday does not stay in the way.
//!
//! A hit only sets a bit, and moves nothing, which is what makes hits cheap. The bits are read when modules
//! are saved, a few each time. Where room has run out, the cache remembers the keys of eight modules for each
//! that is there, which takes about 3 KiB.

#![forbid(unsafe_code)]

mod eviction;
mod in_memory;
mod key;
mod load_counter;
mod padded;
mod shared_cache;
mod stock;
mod thread_lane;
mod thread_local_cache;

pub use in_memory::{InMemoryCache, in_memory};
pub use shared_cache::SharedCache;
pub use thread_local_cache::ThreadLocalCache;
