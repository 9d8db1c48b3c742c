#![doc = include_str!("../README.md")]
//!
//! # Which one
//!
//! | | [`SharedCache`] | [`ThreadLocalCache`] |
//! |---|---|---|
//! | a module saved by one thread is found by | all threads | that thread |
//! | modules must be `Send + Sync` | to share the cache | never |
//! | a hit takes | no lock, unless somebody saves meanwhile | no lock |
//! | a save takes | two locks and, on Linux, one system call (`membarrier`) | no lock |
//! | the weight is bounded | in total | for each thread |
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

#![deny(unsafe_code)]

mod asymmetric_fence;
mod biased_lock;
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
