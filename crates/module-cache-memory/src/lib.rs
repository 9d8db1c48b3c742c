#![doc = include_str!("../README.md")]
//!
//! # Which one
//!
//! | | [`SharedCache`] | [`ThreadLocalCache`] |
//! |---|---|---|
//! | a module saved by one thread is found by | all threads | that thread |
//! | modules must be `Send + Sync` | yes | no |
//! | a hit takes | no lock, unless a save is in progress | no lock |
//! | a save takes | two locks and, on Linux, one system call (`membarrier`) | no lock |
//! | the weight is bounded | in total | for each thread |
//!
//! # What is kept, and for how long
//!
//! A live module belongs to the engine object that made it, so modules are kept by
//! [`ModuleHash`](module_cache_core::ModuleHash) *and* [`EngineInstance`](module_cache_core::instance::EngineInstance):
//! engines of equal id never see each other's. When the last handle of an engine is dropped, the cache drops its modules.
//!
//! The bound is on the sum of [`Engine::weight`](module_cache_core::Engine::weight), in bytes, and on that of
//! [`Engine::descriptors`](module_cache_core::Engine::descriptors), of which the modules of a cache hold, by default,
//! at most half of the process's limit. Both bounds hold after each save (`tests/model.rs`,
//! `tests/ends_of_engines.rs`). A module that its engine cannot weigh counts as 0 bytes, so a cache of such modules
//! grows without bound until they are removed. That suits engines whose code lives as long as they do, where evicting a
//! module frees nothing.
//!
//! # What leaves when room is needed
//!
//! The policy is Greedy-Dual-Size-Frequency (Cherkasova, *Improving WWW Proxies Performance with
//! Greedy-Dual-Size-Frequency Caching Policy*, HP Laboratories, HPL-98-69R1, 1998). It evicts the module that
//! has the fewest requests for its weight, and modules age while they are not requested. Weights of modules
//! differ by four orders of magnitude, so the share of requests that are hits depends more on how many modules
//! stay than on which of equal weight.
//!
//! The policy maximises the share of requests that are hits, not the share of bytes: a heavy module that is
//! requested as often as each of many light ones leaves before them, although it takes longer to compile. Pin
//! a heavy module that must stay.
//!
//! A hit only sets a bit and moves nothing, so hits are cheap. The bit is read when the module is about to be evicted.
//! Evicted modules leave no record.

#![deny(unsafe_code)]

mod accounting;
mod asymmetric_fence;
mod biased_lock;
#[cfg(test)]
mod biased_lock_tests;
mod descriptors;
mod eviction;
mod in_memory;
mod key;
mod shared_cache;
mod sync;
mod thread_local_cache;

pub use in_memory::{InMemoryCache, in_memory};
pub use shared_cache::SharedCache;
pub use thread_local_cache::ThreadLocalCache;
