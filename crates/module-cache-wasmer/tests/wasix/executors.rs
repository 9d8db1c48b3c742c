//! Where it may be polled, and what does not leave the thread that polls.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

use futures_executor::block_on;
use module_cache_filesystem::FileSystemCache;
use module_cache_memory::SharedCache;
use module_cache_testkit::{Fault, Method, Observed};
use module_cache_wasmer::wasix::{WasixModuleCache, WasixModuleLoader};
use tokio::runtime::{Builder, Runtime as Tokio};
use wasmer_types::ModuleHash;
use wasmer_wasix::runtime::module_cache::{CacheError, ModuleCache};
use wasmer_wasix::runtime::{ModuleInput, Runtime};

use crate::support::{compile, engine, exports, key, pluggable_runtime, wasm};

fn tokio() -> Tokio {
    Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap()
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn it_works_in_an_executor_that_is_not_tokio() {
    let folder = tempfile::tempdir().unwrap();
    let tokio = tokio();
    let (engine, known) = engine();
    let files = FileSystemCache::open(folder.path()).unwrap();
    let cache = WasixModuleCache::new([known], files, tokio.handle().clone());

    block_on(cache.save(key(), &engine, &compile(&engine))).unwrap();

    assert!(block_on(cache.contains(key(), &engine)).unwrap());
    let module = block_on(cache.load(key(), &engine)).unwrap();
    assert_eq!(exports(&module), ["add"]);
    let loader = WasixModuleLoader::new(cache);
    let input = ModuleInput::Bytes(wasm().into());
    let module = block_on(loader.resolve_module(input, &engine, None)).unwrap();
    assert_eq!(exports(&module), ["add"]);
    assert_eq!(loader.loader(&engine).unwrap().stats().stored, 1);
}

#[test]
fn a_resident_module_is_there_at_the_first_poll_while_all_blocking_threads_are_busy() {
    let tokio = tokio();
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), tokio.handle().clone());
    block_on(cache.save(key(), &engine, &compile(&engine))).unwrap();
    let loader = WasixModuleLoader::new(cache.clone());
    let (release, released) = mpsc::channel::<()>();
    tokio.spawn_blocking(move || released.recv());

    assert!(poll_once(pin!(cache.load(key(), &engine))).is_ready());
    assert!(poll_once(pin!(cache.contains(key(), &engine))).is_ready());
    let input = ModuleInput::Bytes(wasm().into());
    assert!(poll_once(pin!(loader.resolve_module(input, &engine, None))).is_ready());

    let mut missing = pin!(cache.load(ModuleHash::new("another"), &engine));
    assert!(poll_once(missing.as_mut()).is_pending());
    drop(release);
    assert!(matches!(block_on(missing), Err(CacheError::NotFound)));
}

#[test]
fn a_tokio_runtime_that_is_shut_down_costs_the_cache_and_not_the_load() {
    let (gone, alive) = (tokio(), tokio());
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), gone.handle().clone());
    gone.shutdown_background();

    let error = block_on(cache.load(key(), &engine)).unwrap_err();
    assert!(matches!(error, CacheError::Other(_)), "{error:?}");
    let runtime = pluggable_runtime(&engine, cache, alive.handle());
    let module = runtime.resolve_module_sync(ModuleInput::Bytes(wasm().into()), None, None);
    assert_eq!(exports(&module.unwrap()), ["add"]);
}

#[test]
fn a_cache_that_fails_or_panics_costs_the_cache_and_not_the_load() {
    let tokio = tokio();
    let (engine, known) = engine();
    for fault in [Fault::Error, Fault::Panic] {
        let broken = Arc::new(Observed::new(SharedCache::new()));
        broken.inject(Method::Load, fault);
        broken.inject(Method::Save, fault);
        let cache =
            WasixModuleCache::new([known.clone()], Arc::clone(&broken), tokio.handle().clone());
        let runtime = pluggable_runtime(&engine, cache, tokio.handle());

        let module = runtime.resolve_module_sync(ModuleInput::Bytes(wasm().into()), None, None);

        assert_eq!(exports(&module.unwrap()), ["add"]);
        assert_eq!(broken.calls(Method::Load), 1);
        assert_eq!(broken.calls(Method::Save), 1);
    }
}
