//! What a reporter hears, and what it can abort.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use futures_executor::block_on;
use module_cache_memory::SharedCache;
use module_cache_wasmer::wasix::{WasixModuleCache, WasixModuleLoader};
use tokio::runtime::Handle;
use wasmer::CompileError;
use wasmer_types::UserAbort;
use wasmer_wasix::SpawnError;
use wasmer_wasix::runtime::ModuleInput;
use wasmer_wasix::runtime::module_cache::progress::{
    ModuleLoadProgress, ModuleLoadProgressReporter,
};
use wasmer_wasix::runtime::module_cache::{CacheError, ModuleCache};

use crate::support::{compile, engine, exports, key, until, wasm};

#[tokio::test]
async fn a_cache_reports_its_hits() {
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), Handle::current());
    let (reporter, heard) = listener();
    assert!(
        cache
            .load_with_progress(key(), &engine, reporter.clone())
            .await
            .is_err()
    );
    assert!(heard.lock().unwrap().is_empty());
    cache.save(key(), &engine, &compile(&engine)).await.unwrap();

    cache
        .load_with_progress(key(), &engine, reporter)
        .await
        .unwrap();

    assert_eq!(*heard.lock().unwrap(), ["hit"]);
    let error = cache
        .load_with_progress(key(), &engine, aborter())
        .await
        .unwrap_err();
    assert!(matches!(error, CacheError::Other(_)), "{error:?}");
}

#[tokio::test]
async fn a_loader_reports_that_it_compiles_and_then_its_hits() {
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), Handle::current());
    let loader = WasixModuleLoader::new(cache);
    let (reporter, heard) = listener();

    for _ in 0..2 {
        let input = ModuleInput::Bytes(wasm().into());
        loader
            .resolve_module(input, &engine, Some(reporter.clone()))
            .await
            .unwrap();
    }

    assert_eq!(*heard.lock().unwrap(), ["compiling", "hit"]);
}

#[tokio::test]
async fn a_reporter_aborts_its_load_before_anything_is_compiled() {
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), Handle::current());
    let loader = WasixModuleLoader::new(cache);

    let input = ModuleInput::Bytes(wasm().into());
    let aborted = loader.resolve_module(input, &engine, Some(aborter())).await;

    assert_aborted(aborted);
    assert_eq!(loader.loader(&engine).unwrap().stats().compiled, 0);
}

#[tokio::test]
async fn an_aborted_load_does_not_abort_those_who_wait_for_it() {
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), Handle::current());
    let loader = WasixModuleLoader::new(cache);
    let stats = Arc::clone(loader.loader(&engine).unwrap());
    let (leads, led) = mpsc::channel();
    // Gives up when somebody else waits for it.
    let reporter = ModuleLoadProgressReporter::new(move |_| {
        leads.send(()).unwrap();
        until(|| stats.stats().coalesced == 1);
        Err(UserAbort::new("enough"))
    });

    thread::scope(|scope| {
        let resolve = |reporter| {
            let input = ModuleInput::Bytes(wasm().into());
            block_on(loader.resolve_module(input, &engine, reporter))
        };
        let first = scope.spawn(move || resolve(Some(reporter)));
        led.recv().unwrap();
        let (reporter, heard) = listener();
        let second = scope.spawn(move || resolve(Some(reporter)));
        assert_aborted(first.join().unwrap());
        assert_eq!(exports(&second.join().unwrap().unwrap()), ["add"]);
        assert_eq!(*heard.lock().unwrap(), ["compiling"]);
    });
}

type Heard = Arc<Mutex<Vec<&'static str>>>;

/// A reporter that notes what it hears.
fn listener() -> (ModuleLoadProgressReporter, Heard) {
    let heard = Heard::default();
    let notes = Arc::clone(&heard);
    let reporter = ModuleLoadProgressReporter::new(move |progress| {
        notes.lock().unwrap().push(match progress {
            ModuleLoadProgress::ArtifactCacheHit => "hit",
            ModuleLoadProgress::CompilingModule(_) => "compiling",
            _ => "something else",
        });
        Ok(())
    });
    (reporter, heard)
}

fn aborter() -> ModuleLoadProgressReporter {
    ModuleLoadProgressReporter::new(|_| Err(UserAbort::new("enough")))
}

#[track_caller]
fn assert_aborted(result: Result<wasmer::Module, SpawnError>) {
    match result {
        Err(SpawnError::CompileError {
            module_hash,
            error: CompileError::Aborted(abort),
        }) => {
            assert_eq!(module_hash, key());
            assert_eq!(abort.reason(), "enough");
        }
        other => panic!("not aborted: {other:?}"),
    }
}
