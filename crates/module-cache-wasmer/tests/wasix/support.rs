//! What the tests share: engines, a small module, runtimes, and waiting that ends.

use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::ModuleCache as Cache;
use module_cache_wasmer::WasmerEngine;
use module_cache_wasmer::wasix::WasixModuleLoader;
use tokio::runtime::Handle;
use wasmer::sys::Cranelift;
use wasmer::{Engine, Module};
use wasmer_types::ModuleHash;
use wasmer_wasix::runtime::module_cache::ModuleCache;
use wasmer_wasix::runtime::module_cache::progress::ModuleLoadProgressReporter;
use wasmer_wasix::runtime::resolver::Source;
use wasmer_wasix::runtime::task_manager::tokio::TokioTaskManager;
use wasmer_wasix::runtime::{ModuleInput, PluggableRuntime, Runtime};
use wasmer_wasix::virtual_net::DynVirtualNetworking;
use wasmer_wasix::{SpawnError, VirtualTaskManager};

/// A new engine, and what this crate makes of it.
pub(crate) fn engine() -> (Engine, WasmerEngine) {
    let engine = Engine::from(Cranelift::default());
    let known = WasmerEngine::without_middleware(&engine).unwrap();
    (engine, known)
}

/// A module that exports `add`.
pub(crate) fn wasm() -> Vec<u8> {
    wat::parse_str(
        r#"(module (func (export "add") (param i64 i64) (result i64)
            (i64.add (local.get 0) (local.get 1))))"#,
    )
    .unwrap()
}

pub(crate) fn key() -> ModuleHash {
    ModuleHash::new(wasm())
}

pub(crate) fn compile(engine: &Engine) -> Module {
    Module::new(engine, wasm()).unwrap()
}

pub(crate) fn exports(module: &Module) -> Vec<String> {
    module
        .exports()
        .map(|export| export.name().to_owned())
        .collect()
}

/// A runtime as wasmer-wasix brings it.
pub(crate) fn pluggable_runtime(
    engine: &Engine,
    cache: impl ModuleCache + Send + Sync + 'static,
    handle: &Handle,
) -> PluggableRuntime {
    let tasks = Arc::new(TokioTaskManager::new(handle.clone()));
    let mut runtime = PluggableRuntime::new(tasks);
    runtime.set_engine(engine.clone()).set_module_cache(cache);
    runtime
}

/// A runtime of a program's own, which resolves modules with the loader.
#[derive(Debug)]
pub(crate) struct OwnRuntime<C> {
    pub(crate) base: PluggableRuntime,
    pub(crate) loader: WasixModuleLoader<C>,
}

impl<C: Cache<WasmerEngine> + Send + Sync + 'static> Runtime for OwnRuntime<C> {
    fn resolve_module<'a>(
        &'a self,
        input: ModuleInput<'a>,
        engine: Option<&Engine>,
        on_progress: Option<ModuleLoadProgressReporter>,
    ) -> Pin<Box<dyn Future<Output = Result<Module, SpawnError>> + Send + 'a>> {
        let engine = engine.unwrap_or(&self.base.engine);
        self.loader.resolve_module(input, engine, on_progress)
    }

    fn engine(&self) -> Engine {
        self.base.engine()
    }

    fn module_cache(&self) -> Arc<dyn ModuleCache + Send + Sync> {
        self.base.module_cache()
    }

    fn networking(&self) -> &DynVirtualNetworking {
        self.base.networking()
    }

    fn task_manager(&self) -> &Arc<dyn VirtualTaskManager> {
        self.base.task_manager()
    }

    fn source(&self) -> Arc<dyn Source + Send + Sync> {
        self.base.source()
    }
}

/// Waits until something is so, and panics if that takes very long.
#[track_caller]
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(
            started.elapsed() < Duration::from_mins(1),
            "it never came to be"
        );
        thread::sleep(Duration::from_millis(1));
    }
}
