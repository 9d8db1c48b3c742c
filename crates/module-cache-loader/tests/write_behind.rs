//! Saving that nobody waits for: what is seen meanwhile, and what becomes of it.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use module_cache_core::{
    Compile, CompilePermit, HashedModule, ModuleCache, ModuleHash, SaveOutcome, SkipReason,
    StoreCache,
};
use module_cache_fallback::FallbackExt;
use module_cache_loader::{ModuleLoader, Source, WriteBehind};
use module_cache_testkit::{
    Capabilities, Fault, Fixture, Method, Observed, ReferenceCache, ReferenceStore, TestEngine,
    TestModule, module_cache_conformance, wasm,
};

type Disk = StoreCache<ReferenceStore>;
type Behind<C> = WriteBehind<TestEngine, C>;

fn fixture() -> Fixture<Behind<Disk>> {
    let store = ReferenceStore::new();
    let again = store.clone();
    let capabilities = Capabilities {
        entries: false,
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(WriteBehind::new(StoreCache(store)), capabilities)
        .reopened_by(move || WriteBehind::new(StoreCache(again.clone())))
}

module_cache_conformance!(write_behind_keeps_the_contract, fixture);

/// A cache whose saves a test can hold, the store behind it, and an engine.
fn observed() -> (Behind<Arc<Observed<Disk>>>, ReferenceStore, TestEngine) {
    let store = ReferenceStore::new();
    let disk = Arc::new(Observed::new(StoreCache(store.clone())));
    (WriteBehind::new(disk), store, TestEngine::new("behind"))
}

fn module(engine: &TestEngine, n: u64) -> (ModuleHash, TestModule) {
    let wasm = wasm(n, 100);
    (ModuleHash::of(&wasm), engine.compile(&wasm).unwrap())
}

#[test]
fn a_save_returns_before_it_is_done_and_a_flush_after() {
    let (cache, store, engine) = observed();
    let (key, module) = module(&engine, 1);
    let hold = cache.inner().hold(Method::Save);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    hold.wait_for(1);
    assert!(store.is_empty());
    drop(hold);
    cache.flush().unwrap();
    assert_eq!(store.len(), 1);
}

#[test]
fn a_module_that_waits_is_there_and_saved_once() {
    let (cache, store, engine) = observed();
    let (key, module) = module(&engine, 1);
    let hold = cache.inner().hold(Method::Save);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    assert!(cache.contains(key, &engine).unwrap());
    assert!(cache.load(key, &engine).unwrap().is_some());
    assert_eq!(
        cache.save(key, &engine, &module).unwrap(),
        SaveOutcome::Skipped(SkipReason::AlreadyStored)
    );
    drop(hold);
    cache.flush().unwrap();
    assert_eq!((store.len(), cache.inner().calls(Method::Save)), (1, 1));
}

#[test]
fn another_engine_waits_until_it_is_stored() {
    let (cache, _store, engine) = observed();
    let (key, module) = module(&engine, 1);
    let hold = cache.inner().hold(Method::Save);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    let other = TestEngine::new("behind");
    thread::scope(|scope| {
        let found = scope.spawn(|| cache.load(key, &other).unwrap());
        hold.wait_for(1);
        drop(hold);
        assert!(found.join().unwrap().is_some());
    });
}

#[test]
fn a_permit_ends_after_what_was_saved_before_it_ended() {
    let (cache, store, engine) = observed();
    let (key, module) = module(&engine, 1);
    let permit = cache.compile_permit(key, &engine).unwrap();
    assert!(matches!(permit, CompilePermit::Exclusive(_)));
    let hold = cache.inner().hold(Method::Save);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    drop(permit);
    let other = StoreCache(store.clone());
    thread::scope(|scope| {
        let stored_when_free = scope.spawn(|| {
            let _permit = other.compile_permit(key, &engine).unwrap();
            store.len()
        });
        hold.wait_for(1);
        thread::sleep(Duration::from_millis(100));
        assert!(!stored_when_free.is_finished());
        drop(hold);
        assert_eq!(stored_when_free.join().unwrap(), 1);
    });
}

#[test]
fn dropping_it_stores_what_waits() {
    let (cache, store, engine) = observed();
    for n in 0..10 {
        let (key, module) = module(&engine, n);
        assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    }
    drop(cache);
    assert_eq!(store.len(), 10);
}

#[test]
fn who_saves_when_too_many_wait_does_so_itself() {
    let (cache, store, engine) = observed();
    let disk = Arc::clone(cache.inner());
    let hold = disk.hold(Method::Save);
    for n in 0..64 {
        let (key, module) = module(&engine, n);
        assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    }
    thread::scope(|scope| {
        let (key, module) = module(&engine, 64);
        let (cache, engine) = (&cache, &engine);
        scope.spawn(move || cache.save(key, engine, &module).unwrap());
        // The worker's and this one.
        hold.wait_for(2);
        drop(hold);
    });
    cache.flush().unwrap();
    assert_eq!(store.len(), 65);
}

#[test]
fn an_error_is_told_by_the_next_flush_and_the_rest_is_stored() {
    let (cache, store, engine) = observed();
    for fault in [Fault::Error, Fault::Panic] {
        cache.inner().inject(Method::Save, fault);
        let (key, module) = module(&engine, 1);
        assert!(cache.save(key, &engine, &module).unwrap().is_stored());
        assert!(cache.flush().is_err(), "{fault:?}");
        cache.flush().unwrap();
        assert!(!cache.contains(key, &engine).unwrap());
    }
    cache.inner().heal(Method::Save);
    let (key, module) = module(&engine, 2);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    cache.flush().unwrap();
    assert_eq!(store.len(), 1);
}

#[test]
fn a_removed_module_is_not_stored_afterwards() {
    let (cache, store, engine) = observed();
    let (key, module) = module(&engine, 1);
    let hold = cache.inner().hold(Method::Save);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    thread::scope(|scope| {
        let removed = scope.spawn(|| cache.remove(key, &engine).unwrap());
        hold.wait_for(1);
        drop(hold);
        assert!(removed.join().unwrap());
    });
    cache.flush().unwrap();
    assert!(store.is_empty());
}

#[test]
fn the_one_who_compiles_does_not_wait_for_the_storage() {
    let (behind, store, engine) = observed();
    let disk = Arc::clone(behind.inner());
    let cache = ReferenceCache::new().with_fallback(behind);
    let loader = ModuleLoader::new(engine, cache);
    let hold = disk.hold(Method::Save);
    let module = HashedModule::new(wasm(1, 1000));
    assert_eq!(loader.load(&module).unwrap().source, Source::Compiled);
    assert_eq!(loader.load(&module).unwrap().source, Source::Resident);
    hold.wait_for(1);
    assert!(store.is_empty());
    drop(hold);
    loader.cache().flush().unwrap();
    assert_eq!(store.len(), 1);
    assert_eq!(loader.engine().compiles(), 1);
}
