//! A cache for precompiled WebAssembly modules, assembled from the crates that are enabled.
//!
//! Compiling a module takes up to seconds; loading stored code takes microseconds to milliseconds. This crate
//! re-exports the parts of module-cache, each behind a feature, and adds one alias:
//!
//! | feature | brings |
//! |---|---|
//! | (always) | [`ModuleCache`], [`ModuleHash`], [`HashedModule`]; in [`backend`], what backends and engines are made of |
//! | `memory` (default) | `SharedCache`, `ThreadLocalCache`, `in_memory()` |
//! | `filesystem` (default) | `FileSystemCache`, and more in `filesystem` |
//! | `bundle` | `FileSystemCache::export` and `import` |
//! | `fallback` (default) | `FallbackCache` and `.with_fallback()` |
//! | `loader` (default) | `ModuleLoader`: load-or-compile, once per key; its answers are in `loader` |
//! | `tokio` | `loader::AsyncModuleLoader`: the same for async callers |
//! | `metrics` | in `loader`, what is counted, through the `metrics` crate |
//! | `remote` | `remote::RemoteCache`; each service is a feature of `module-cache-remote` |
//! | `ed25519` | `backend::SigningKey`, `backend::VerifyingKey`: who only loads cannot sign |
//! | `wasmer` | `WasmerEngine`, `wasmer::CpuLevel` |
//! | `wasix` | the module `wasix`: any cache as a module cache of wasmer-wasix |
//! | `web` | `web::WebEngine`, `web::WebModuleLoader`, in a browser: `WebAssembly.Module`s |
//!
//! The engines for wasmtime are in `module-cache-wasmtime`, which a host depends on besides this crate: it has a release
//! line for each major version of wasmtime.
//!
//! A host starts with `ModuleLoader` and `in_memory()`. Other types that it may need are in [`backend`]: `Engine` for an
//! engine's id, `SaveOutcome`, `Trust` and `SharedKey`, `ListedEntry`, `EngineError`. To write a backend, start with
//! [`backend::EntryStore`], or with [`ModuleCache`] for live modules, and test it with `module-cache-testkit`.
//!
#![cfg_attr(
    all(
        feature = "filesystem",
        feature = "fallback",
        feature = "loader",
        feature = "memory"
    ),
    doc = r#"
```
use module_cache::{FallbackExt, FileSystemCache, HashedModule, ModuleLoader, in_memory};
use module_cache_wasmtime::WasmtimeEngine;

# let folder = tempfile::tempdir()?;
# let folder = folder.path().join("modules");
let engine = wasmtime::Engine::default();
let cache = in_memory().with_fallback(FileSystemCache::open(&folder)?);
let loader = ModuleLoader::new(WasmtimeEngine::new(&engine)?, cache);

let wasm = b"\0asm\x01\0\0\0";
let loaded = loader.load(&HashedModule::new(wasm))?;
println!("{} in {:?}", loaded.source, loaded.elapsed);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(
    doctest,
    feature = "filesystem",
    feature = "fallback",
    feature = "loader",
    feature = "memory"
))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use module_cache_core::{CacheError, HashedModule, ModuleCache, ModuleHash};

#[cfg(feature = "fallback")]
pub use module_cache_fallback::{FallbackCache, FallbackExt};
#[cfg(feature = "filesystem")]
pub use module_cache_filesystem::FileSystemCache;
#[cfg(feature = "loader")]
pub use module_cache_loader::ModuleLoader;
#[cfg(feature = "memory")]
pub use module_cache_memory::{SharedCache, ThreadLocalCache, in_memory};
#[cfg(feature = "wasmer")]
pub use module_cache_wasmer::WasmerEngine;
/// CPU levels that an engine of wasmer compiles for, and accepts.
#[cfg(feature = "wasmer")]
pub mod wasmer {
    pub use module_cache_wasmer::CpuLevel;
}
#[cfg(feature = "wasix")]
pub use module_cache_wasmer::wasix;

/// The usual chain: live modules in memory in front of a folder, as made by `in_memory().with_fallback(folder)`.
///
#[cfg_attr(
    feature = "loader",
    doc = r#"
```no_run
use module_cache::{FallbackExt, FileSystemCache, ModuleLoader, LayeredCache, in_memory};
use module_cache_wasmtime::WasmtimeEngine;

struct Host {
    modules: ModuleLoader<WasmtimeEngine, LayeredCache<WasmtimeEngine>>,
}

let folder = FileSystemCache::open(FileSystemCache::default_dir("my-host")?)?;
let engine = WasmtimeEngine::new(&wasmtime::Engine::default())?;
let host = Host {
    modules: ModuleLoader::new(engine, in_memory().with_fallback(folder)),
};
# drop(host.modules);
# Ok::<(), Box<dyn std::error::Error>>(())
```
"#
)]
/// A host that goes on without a folder that it cannot open uses an `Option<FileSystemCache>` instead of the folder:
/// `FallbackCache<SharedCache<E>, Option<FileSystemCache>>`.
#[cfg(all(feature = "memory", feature = "fallback", feature = "filesystem"))]
pub type LayeredCache<E> = FallbackCache<module_cache_memory::InMemoryCache<E>, FileSystemCache>;

/// What backends and engines implement and use, and the keys that entries are signed with.
pub mod backend {
    pub use module_cache_core::{
        AcceptedKey, Artifact, ArtifactEngine, CacheStats, CodeFields, Compile, Counters, Engine,
        EngineError, EngineId, EngineIdBuilder, EntryKey, EntryStore, FoundModule, InvalidEntry,
        KeyId, ListedEntry, ParseHashError, ParseKeyError, SaveOutcome, SealedEntry, SharedKey,
        SkipReason, StoreCache, Tiers, Trust, panic_message,
    };
    #[cfg(feature = "ed25519")]
    pub use module_cache_core::{SigningKey, VerifyingKey};
    pub use module_cache_core::{entry, format, instance, per_thread, permit};
}

/// Options of a folder, and the reports of its maintenance.
#[cfg(feature = "filesystem")]
pub mod filesystem {
    pub use module_cache_filesystem::{
        EngineUsage, Fault, FileSystemCacheBuilder, PruneOptions, PruneReport, Usage, Verification,
        VerifyReport,
    };
    #[cfg(feature = "bundle")]
    pub use module_cache_filesystem::{ExportReport, ImportReport, Refused};
}

/// Results, errors and statistics of loaders.
#[cfg(feature = "loader")]
pub mod loader {
    #[cfg(feature = "tokio")]
    pub use module_cache_loader::AsyncModuleLoader;
    pub use module_cache_loader::{
        LoadError, Loaded, LoaderStats, Source, Tier, TierStats, Tiered, TieredLoader,
    };
    #[cfg(feature = "metrics")]
    pub use module_cache_loader::{
        describe_metrics, record_cache_stats, record_loader_stats, record_tier_stats,
    };
}

/// Storage that machines share.
#[cfg(feature = "remote")]
pub mod remote {
    pub use module_cache_remote::{
        RemoteCache, RemoteCacheBuilder, RemoteEntries, RemoteStats, opendal,
    };
    #[cfg(feature = "metrics")]
    pub use module_cache_remote::{describe_remote_metrics, record_remote_stats};
}

/// The engine and the loader of a browser.
#[cfg(all(feature = "web", target_family = "wasm"))]
pub mod web {
    pub use module_cache_web::{FetchError, Wasm, WebEngine, WebModuleLoader, fetch_wasm};
}
