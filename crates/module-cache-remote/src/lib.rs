//! A cache of precompiled WebAssembly modules on object storage or Redis, shared by a fleet.
//!
//! ```
//! use module_cache_core::{Compile, ModuleCache, ModuleHash, SigningKey};
//! use module_cache_remote::RemoteCache;
//! # use module_cache_testkit::{TestEngine, wasm};
//! # use opendal::{Operator, services::Memory};
//! # let (engine, wasm) = (TestEngine::new("doc"), wasm(1, 100));
//!
//! # let operator = Operator::new(Memory::default())?;
//! let cache = RemoteCache::signed(operator, [SigningKey::from_bytes([7; 32])]);
//! let key = ModuleHash::of(&wasm);
//! assert!(cache.load(key, &engine)?.is_none());
//! cache.save(key, &engine, &engine.compile(&wasm)?)?;
//! ModuleCache::<TestEngine>::flush(&cache)?; // or drop it
//! assert!(cache.load(key, &engine)?.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The storage is one that its users run already, reached through an [`opendal::Operator`] or named by a URI
//! ([`RemoteCache::from_uri`]). Each service is a feature: `s3`, `gcs`, `azblob`, `redis`, `memcached`,
//! `http`, `fs`. How to set one up is said in `docs/remote.md` of the repository.
//!
//! # What is at stake
//!
//! A remote cache is for what takes seconds otherwise; it must never cost more than it saves. So a storage
//! that is slow, broken or gone is a cache that has nothing, after one bounded delay; and nothing that was
//! not proven to come from a holder of the key is decompressed or given to an engine.

#![deny(unsafe_code)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
compile_error!(
    "module-cache-remote needs sockets and threads, which wasm32-unknown-unknown has not; depend on \
     module-cache-memory there"
);

mod breaker;
mod builder;
mod codec;
mod failure;
mod fetch;
mod io_thread;
mod layout;
mod lease;
mod list;
mod local_locks;
mod permit;
mod remote_cache;
mod shared;
mod stats;
mod uploads;
mod uri;

pub use builder::RemoteCacheBuilder;
pub use list::RemoteEntry;
/// The version that operators for this crate are made with.
pub use opendal;
pub use remote_cache::RemoteCache;
pub use stats::RemoteStats;
