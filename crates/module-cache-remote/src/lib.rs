#![doc = include_str!("../README.md")]
//!
//! A storage is an [`opendal::Operator`] of the caller, or what [`RemoteCache::from_uri`] makes of a URI. `docs/fleet.md` of the
//! repository describes how to set one up.
//!
//! # What is at stake
//!
//! A remote cache saves compilations of seconds, and must not cost more than it saves. So a storage that is slow, broken or
//! gone acts as an empty cache after one bounded delay. Only content that is proven to come from a holder of the key is
//! decompressed or given to an engine.

#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
compile_error!(
    "module-cache-remote needs sockets and threads, which wasm32-unknown-unknown has not; depend on \
     module-cache-memory there"
);

mod attempts;
mod backfill;
mod breaker;
mod builder;
mod codec;
mod error_bodies;
mod failure;
mod fetch;
mod flow;
#[cfg(feature = "_http-client")]
mod http_client;
mod index;
mod io_thread;
mod layout;
mod lease;
mod list;
mod local_locks;
#[cfg(feature = "metrics")]
mod metrics_export;
#[cfg(feature = "oci")]
mod oci_artifact;
#[cfg(feature = "oci")]
mod oci_registry;
#[cfg(feature = "oci")]
mod oci_service;
mod permit;
mod pieces;
mod random;
mod read_index;
mod redact;
#[cfg(feature = "redis")]
mod redis_connection;
#[cfg(feature = "redis")]
mod redis_service;
mod remote_cache;
mod sample;
mod shared;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod stats;
#[cfg(any(feature = "oci", feature = "redis"))]
mod unsupported;
mod uploads;
mod uri;
mod write_index;

pub use builder::RemoteCacheBuilder;
pub use list::RemoteEntries;
#[cfg(feature = "metrics")]
pub use metrics_export::{describe_remote_metrics, record_remote_stats};
/// The version that operators for this crate are made with.
pub use opendal;
pub use remote_cache::RemoteCache;
pub use stats::RemoteStats;
