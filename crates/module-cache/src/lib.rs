//! A cache for precompiled WebAssembly modules, put together from the crates that are enabled.
//!
//! Compiling a module takes seconds; loading what was compiled before takes microseconds. This crate
//! re-exports the parts of module-cache behind one feature each, and adds nothing:
//!
//! | feature | brings |
//! |---|---|
//! | (always) | [`ModuleCache`], [`ModuleHash`], [`Engine`] and the other words of `module-cache-core` |
//! | `memory` (default) | [`SharedCache`], [`ThreadLocalCache`], [`in_memory`] |
//! | `filesystem` | `FileSystemCache` |
//! | `fallback` | `FallbackCache` and `.with_fallback()` |
//! | `remote` | `RemoteCache`; each service is a feature of `module-cache-remote` |
//! | `loader` | `ModuleLoader`: load-or-compile, once per key |
//! | `tokio` | `AsyncModuleLoader`: the same for async callers |
//! | `metrics` | what the loader counts, through the `metrics` crate |
//! | `wasmtime` | `WasmtimeEngine`, `WasmtimeComponentEngine` |
//! | `wasmer` | `WasmerEngine` |
//! | `wasix` | the module `wasix`: any cache as a module cache of wasmer-wasix |
//! | `web` | `WebEngine`, `WebModuleLoader`: `WebAssembly.Module`s in a browser |
//!
#![cfg_attr(
    all(
        feature = "filesystem",
        feature = "fallback",
        feature = "loader",
        feature = "memory",
        feature = "wasmtime"
    ),
    doc = r#"
```
use module_cache::{FallbackExt, FileSystemCache, HashedModule, ModuleLoader, WasmtimeEngine, in_memory};

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

#[cfg(all(
    doctest,
    feature = "filesystem",
    feature = "fallback",
    feature = "loader",
    feature = "memory",
    feature = "wasmtime"
))]
#[doc = include_str!("../README.md")]
struct Readme;

pub use module_cache_core::*;

#[cfg(feature = "fallback")]
pub use module_cache_fallback::*;
#[cfg(feature = "filesystem")]
pub use module_cache_filesystem::*;
#[cfg(feature = "loader")]
pub use module_cache_loader::*;
#[cfg(feature = "memory")]
pub use module_cache_memory::*;
#[cfg(feature = "remote")]
pub use module_cache_remote::*;
#[cfg(feature = "wasmer")]
pub use module_cache_wasmer::*;
#[cfg(feature = "wasmtime")]
pub use module_cache_wasmtime::*;
#[cfg(feature = "web")]
pub use module_cache_web::*;
