//! A drop-in for wasmer-wasix: any cache of this project as the module cache of a WASIX runtime.
//!
//! [`WasixModuleCache`] replaces wasmer-wasix's own caches, in one line of a program that has a runtime.
//! [`WasixModuleLoader`] (with a compiler) is for programs with a runtime of their own: it also compiles a module once,
//! while wasmer-wasix compiles it once per caller.
//!
//! # In place of wasmer-wasix's caches
//!
//! ```
//! # #[cfg(feature = "cranelift")] {
//! use std::sync::Arc;
//!
//! use module_cache_fallback::FallbackExt;
//! use module_cache_filesystem::FileSystemCache;
//! use module_cache_memory::SharedCache;
//! use module_cache_wasmer::WasmerEngine;
//! use module_cache_wasmer::wasix::WasixModuleCache;
//! use wasmer_wasix::runtime::task_manager::tokio::TokioTaskManager;
//! use wasmer_wasix::runtime::{ModuleInput, PluggableRuntime, Runtime};
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("modules");
//! # let tokio = tokio::runtime::Runtime::new()?;
//! # let handle = tokio.handle();
//! let engine = wasmer::Engine::default();
//! let cache = WasixModuleCache::new(
//!     [WasmerEngine::without_middleware(&engine)?],
//!     SharedCache::new().with_fallback(FileSystemCache::open(&folder)?),
//!     handle.clone(),
//! );
//!
//! let tasks = Arc::new(TokioTaskManager::new(handle.clone()));
//! let mut runtime = PluggableRuntime::new(tasks);
//! runtime.set_engine(engine).set_module_cache(cache.clone());
//!
//! let module = runtime.resolve_module_sync(ModuleInput::Bytes(b"\0asm\x01\0\0\0".into()), None, None)?;
//! assert_eq!(cache.cache().fallback().stats().saves, 1);
//! # drop(module);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Give the runtime its engine**, the one that the cache was made with. The default of
//! [`Runtime::engine`](wasmer_wasix::Runtime::engine) creates a new engine with each call, whose modules no memory cache
//! can find again: a live module belongs to one engine. [`PluggableRuntime::set_engine`] and
//! [`OverriddenRuntime::with_engine`] set it; a runtime of your own returns a clone from `engine`. Clones are the same
//! engine.
//!
//! [`PluggableRuntime::set_engine`]: wasmer_wasix::runtime::PluggableRuntime::set_engine
//! [`OverriddenRuntime::with_engine`]: wasmer_wasix::runtime::OverriddenRuntime::with_engine
//!
//! Compared with wasmer-wasix's `SharedCache` and `FileSystemCache`: stored code is verified before it is loaded, bounded
//! in size, safe to share between processes, and not deleted because one engine refused it. Its key covers everything that
//! compiled code depends on (middleware, CPU features and tunables too). Memory caches keep the live modules of each engine
//! apart.
//!
//! # One compilation for all
//!
//! In wasmer-wasix, each caller asks the cache, compiles, and saves on its own, on the thread that polls. A runtime that
//! overrides [`resolve_module`](wasmer_wasix::Runtime::resolve_module) with a [`WasixModuleLoader`] compiles a module once,
//! on a blocking thread, and in one process of those that share a folder:
//!
//! ```
//! # #[cfg(feature = "cranelift")] {
//! use std::pin::Pin;
//! use std::sync::Arc;
//!
//! use module_cache_memory::SharedCache;
//! use module_cache_wasmer::WasmerEngine;
//! use module_cache_wasmer::wasix::WasixModuleLoader;
//! use wasmer_wasix::runtime::module_cache::{ModuleCache, progress::ModuleLoadProgressReporter};
//! use wasmer_wasix::runtime::resolver::Source;
//! use wasmer_wasix::runtime::{ModuleInput, PluggableRuntime, Runtime};
//! use wasmer_wasix::{SpawnError, VirtualTaskManager, virtual_net::DynVirtualNetworking};
//!
//! #[derive(Debug)]
//! struct MyRuntime {
//!     base: PluggableRuntime,
//!     loader: WasixModuleLoader<SharedCache<WasmerEngine>>,
//! }
//!
//! impl Runtime for MyRuntime {
//!     fn resolve_module<'a>(
//!         &'a self,
//!         input: ModuleInput<'a>,
//!         engine: Option<&wasmer::Engine>,
//!         on_progress: Option<ModuleLoadProgressReporter>,
//!     ) -> Pin<Box<dyn Future<Output = Result<wasmer::Module, SpawnError>> + Send + 'a>> {
//!         let engine = engine.unwrap_or(&self.base.engine);
//!         self.loader.resolve_module(input, engine, on_progress)
//!     }
//!
//!     fn engine(&self) -> wasmer::Engine {
//!         self.base.engine()
//!     }
//!
//!     fn module_cache(&self) -> Arc<dyn ModuleCache + Send + Sync> {
//!         self.base.module_cache()
//!     }
//!
//!     // … and what else the program's runtime is made of:
//!     fn networking(&self) -> &DynVirtualNetworking {
//!         self.base.networking()
//!     }
//!
//!     fn task_manager(&self) -> &Arc<dyn VirtualTaskManager> {
//!         self.base.task_manager()
//!     }
//!
//!     fn source(&self) -> Arc<dyn Source + Send + Sync> {
//!         self.base.source()
//!     }
//! }
//! # }
//! ```
//!
//! This crate has no wrapper for an existing runtime: the methods of `Runtime` depend on the features that wasmer-wasix is
//! built with, and a wrapper that did not forward one would silently turn it off.
//!
//! # Keys
//!
//! wasmer-wasix names a module by the SHA-256 of its wasm, the rest of this project by BLAKE3. Both can be in one folder,
//! where they cannot be confused, but what was stored under one is not found under the other. To fill a folder for
//! wasmer-wasix beforehand:
//!
//! ```console
//! $ module-cache compile --hash sha256 --engine wasmer-cranelift program.wasm
//! ```
//!
//! # Progress
//!
//! A hit is reported as [`ArtifactCacheHit`] once the module is loaded, from whichever layer. The caches of a wasmer-wasix
//! 0.704 runtime are behind an `Arc`, which does not pass the reporter on, so their hits are not reported;
//! [`WasixModuleLoader`] reports them. A program that needs the steps of a compilation, or must abort it half-way, leaves
//! compiling to wasmer-wasix (with its feature `sys`) and uses [`WasixModuleCache`] alone.
//!
//! [`ArtifactCacheHit`]: wasmer_wasix::runtime::module_cache::progress::ModuleLoadProgress::ArtifactCacheHit

mod wasix_module_cache;
#[cfg(feature = "compiler")]
mod wasix_module_loader;

pub use wasix_module_cache::WasixModuleCache;
#[cfg(feature = "compiler")]
pub use wasix_module_loader::WasixModuleLoader;
