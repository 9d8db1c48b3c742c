//! Who is asked, what moves up, and whose errors count.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    CacheError, Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash, SaveOutcome,
    SealedEntry, SkipReason, StoreCache,
};
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_testkit::{
    Capabilities, FailingCache, Fault, Fixture, Method, Observed, ReferenceCache, ReferenceStore,
    TestEngine, TestModule, module_cache_conformance, wasm,
};

type Memory = ReferenceCache<TestEngine>;
type Disk = StoreCache<ReferenceStore>;

fn disk() -> Disk {
    StoreCache(ReferenceStore::new())
}

fn memory_over_disk() -> Fixture<FallbackCache<Memory, Disk>> {
    let store = ReferenceStore::new();
    let again = store.clone();
    let open = |store| Memory::new().with_fallback(StoreCache(store));
    let capabilities = Capabilities {
        resident: true,
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(open(store), capabilities).reopened_by(move || open(again.clone()))
}

fn disk_over_disk() -> Fixture<FallbackCache<Disk, Disk>> {
    // Two stores have no one store behind them.
    let capabilities = Capabilities {
        entries: false,
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(disk().with_fallback(disk()), capabilities)
}

fn three_layers() -> Fixture<FallbackCache<FallbackCache<Memory, Disk>, Disk>> {
    let capabilities = Capabilities {
        resident: true,
        entries: false,
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(
        Memory::new().with_fallback(disk()).with_fallback(disk()),
        capabilities,
    )
}

module_cache_conformance!(memory_over_disk_keeps_the_contract, memory_over_disk);
module_cache_conformance!(disk_over_disk_keeps_the_contract, disk_over_disk);
module_cache_conformance!(three_layers_keep_the_contract, three_layers);
module_cache_conformance!(without_a_fallback, || {
    Fixture::new(
        Memory::new().with_fallback(None::<Disk>),
        Capabilities::LIVE,
    )
});
module_cache_conformance!(without_a_primary, || {
    disk_over_disk().map(|disks| None::<Disk>.with_fallback(disks))
});
module_cache_conformance!(boxed, || memory_over_disk()
    .map(|cache| Box::new(cache) as Box<dyn ModuleCache<TestEngine> + Send + Sync>));
module_cache_conformance!(shared, || memory_over_disk()
    .map(|cache| Arc::new(cache) as Arc<dyn ModuleCache<TestEngine> + Send + Sync>));

/// Two observed caches, an engine and a module of it.
fn scene<P, F>(
    primary: P,
    fallback: F,
) -> (
    FallbackCache<Observed<P>, Observed<F>>,
    TestEngine,
    ModuleHash,
    TestModule,
) {
    let engine = TestEngine::new("fallback");
    let wasm = wasm(1, 1000);
    let module = engine.compile(&wasm).unwrap();
    let cache = Observed::new(primary).with_fallback(Observed::new(fallback));
    (cache, engine, ModuleHash::of(&wasm), module)
}

#[test]
fn a_hit_above_does_not_ask_below() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    let _ = cache.primary().save(key, &engine, &module).unwrap();
    assert!(cache.load(key, &engine).unwrap().is_some());
    assert_eq!(cache.fallback().calls(Method::Load), 0);
}

#[test]
fn a_hit_below_is_promoted_and_asked_for_once() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    let _ = cache.fallback().save(key, &engine, &module).unwrap();
    for _ in 0..3 {
        assert!(cache.load(key, &engine).unwrap().is_some());
    }
    assert_eq!(cache.fallback().calls(Method::Load), 1);
    assert_eq!(cache.primary().calls(Method::Save), 1);
}

#[test]
fn between_stores_bytes_move_up_and_no_module_is_serialized() {
    let (above, below) = (
        ReferenceStore::new(),
        Arc::new(Observed::new(ReferenceStore::new())),
    );
    let engine = TestEngine::new("fallback");
    let wasm = wasm(1, 1000);
    let key = ModuleHash::of(&wasm);
    let cache = StoreCache(above.clone()).with_fallback(StoreCache(Arc::clone(&below)));
    let module = engine.compile(&wasm).unwrap();
    let _ = cache.fallback().save(key, &engine, &module).unwrap();
    let serialized = engine.serializes();

    for _ in 0..3 {
        assert_eq!(cache.load(key, &engine).unwrap().unwrap().wasm(), wasm);
    }
    assert_eq!(below.calls(Method::Load), 1, "fetched once");
    assert_eq!(engine.serializes(), serialized);
    assert!(above.exists(&EntryKey::new(key, *engine.id())).unwrap());
}

#[test]
fn a_promotion_that_fails_does_not_fail_the_hit() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    let _ = cache.fallback().save(key, &engine, &module).unwrap();
    cache.primary().inject(Method::Save, Fault::Error);
    assert!(cache.load(key, &engine).unwrap().is_some());

    let above = StoreCache(Observed::new(ReferenceStore::new()));
    above.0.inject(Method::Save, Fault::Error);
    let cache = above.with_fallback(disk());
    let _ = cache.fallback().save(key, &engine, &module).unwrap();
    assert!(cache.load(key, &engine).unwrap().is_some());
}

#[test]
fn what_cannot_be_kept_above_is_fetched_once_all_the_same() {
    let engine = TestEngine::new("fallback");
    let wasm = wasm(1, 1000);
    let key = ModuleHash::of(&wasm);
    let module = engine.compile(&wasm).unwrap();
    for above in [READ_ONLY, BROKEN] {
        let above = StoreCache(above);
        let below = StoreCache(Observed::new(ReferenceStore::new()));
        let cache = Memory::new().with_fallback(above).with_fallback(below);
        let _ = cache.fallback().save(key, &engine, &module).unwrap();
        let serialized = engine.serializes();

        for _ in 0..3 {
            assert_eq!(cache.load(key, &engine).unwrap().unwrap().wasm(), wasm);
        }
        assert_eq!(cache.fallback().0.calls(Method::Load), 1);
        assert_eq!(engine.serializes(), serialized);
        assert_eq!(cache.primary().primary().len(), 1, "memory has it");
    }
}

#[test]
fn what_somebody_else_promoted_meanwhile_is_loaded_from_above() {
    let engine = TestEngine::new("fallback");
    let wasm = wasm(1, 1000);
    let key = ModuleHash::of(&wasm);
    let module = engine.compile(&wasm).unwrap();
    let above = Observed::new(ReferenceStore::new());
    let below = StoreCache(Observed::new(ReferenceStore::new()));
    let cache = StoreCache(above).with_fallback(below);
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    let (primary, fallback) = (&cache.primary().0, &cache.fallback().0);
    let before = primary.calls(Method::Load);

    // The first look above comes before that promotion.
    primary.inject(Method::Load, Fault::Error);
    let held = fallback.hold(Method::Load);
    thread::scope(|scope| {
        let load = scope.spawn(|| cache.load(key, &engine).unwrap().unwrap());
        held.wait_for(1);
        primary.heal(Method::Load);
        drop(held);
        assert_eq!(load.join().unwrap().wasm(), wasm);
    });
    assert_eq!(primary.calls(Method::Load) - before, 2);
    assert_eq!(fallback.calls(Method::Load), 1);
}

#[test]
fn a_module_is_serialized_once_for_all_storages() {
    let engine = TestEngine::new("fallback");
    let wasm = wasm(1, 1000);
    let key = ModuleHash::of(&wasm);
    let module = engine.compile(&wasm).unwrap();
    let store = || StoreCache(ReferenceStore::new());
    let below = store().with_fallback(store());
    let cache = Memory::new().with_fallback(store()).with_fallback(store());
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    assert_eq!(engine.serializes(), 1);
    assert_eq!(cache.primary().fallback().0.len(), 1);
    assert_eq!(cache.fallback().0.len(), 1);
    assert!(below.save(key, &engine, &module).unwrap().is_stored());
    assert_eq!(engine.serializes(), 2);
}

#[test]
fn what_the_engine_refuses_is_a_miss_that_the_store_below_hears_of() {
    let engine = TestEngine::new("fallback");
    let wasm = wasm(1, 1000);
    let key = ModuleHash::of(&wasm);
    let below = StoreCache(ReferenceStore::new());
    let _ = below
        .save(key, &engine, &engine.compile(&wasm).unwrap())
        .unwrap();
    let cache = StoreCache(READ_ONLY).with_fallback(below);
    let rejecting = engine.same_id();
    rejecting.reject_artifacts(true);
    assert!(cache.load(key, &rejecting).unwrap().is_none());
    assert_eq!(cache.fallback().0.rejections(), 1);
    assert!(cache.load(key, &engine).unwrap().is_some(), "it stays");
}

/// A store that has nothing, and its answer to whoever wants to keep something there.
#[derive(Debug)]
struct Empty(fn() -> Result<SaveOutcome, CacheError>);

const READ_ONLY: Empty = Empty(|| Ok(SaveOutcome::Skipped(SkipReason::ReadOnly)));
const BROKEN: Empty = Empty(|| Err(CacheError::backend("empty store", "put", "it is broken")));

impl EntryStore for Empty {
    fn get(&self, _: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        Ok(None)
    }

    fn put(&self, _: &EntryKey, _: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        (self.0)()
    }

    fn exists(&self, _: &EntryKey) -> Result<bool, CacheError> {
        Ok(false)
    }

    fn delete(&self, _: &EntryKey) -> Result<bool, CacheError> {
        Ok(false)
    }
}

#[test]
fn an_error_above_does_not_hide_what_is_below() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    let _ = cache.fallback().save(key, &engine, &module).unwrap();
    cache.primary().inject(Method::Load, Fault::Error);
    cache.primary().inject(Method::Contains, Fault::Error);
    assert!(cache.load(key, &engine).unwrap().is_some());
    assert!(cache.contains(key, &engine).unwrap());
}

#[test]
fn an_error_of_one_side_is_returned_when_the_other_has_nothing() {
    for broken_above in [true, false] {
        let (cache, engine, key, _) = scene(Memory::new(), disk());
        for method in [Method::Load, Method::Contains] {
            if broken_above {
                cache.primary().inject(method, Fault::Error);
            } else {
                cache.fallback().inject(method, Fault::Error);
            }
        }
        assert!(matches!(
            cache.load(key, &engine),
            Err(CacheError::Backend { .. })
        ));
        assert!(matches!(
            cache.contains(key, &engine),
            Err(CacheError::Backend { .. })
        ));
    }
}

#[test]
fn a_save_goes_to_both_sides_and_reports_each_error() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    for side in [cache.primary() as &dyn ModuleCache<_>, cache.fallback()] {
        assert!(side.load(key, &engine).unwrap().is_some());
    }

    let (cache, engine, key, module) = scene(Memory::new(), disk());
    cache.primary().inject(Method::Save, Fault::Error);
    assert!(matches!(
        cache.save(key, &engine, &module),
        Err(CacheError::Backend { .. })
    ));
    assert!(
        cache.fallback().load(key, &engine).unwrap().is_some(),
        "the other side was tried"
    );
    cache.fallback().inject(Method::Save, Fault::Error);
    let error = cache.save(key, &engine, &module).unwrap_err();
    assert!(matches!(error, CacheError::Both { .. }), "{error:?}");
}

#[test]
fn a_removal_goes_to_both_sides() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    assert!(cache.remove(key, &engine).unwrap());
    assert!(!cache.remove(key, &engine).unwrap());
    assert!(cache.load(key, &engine).unwrap().is_none());
}

#[test]
fn two_broken_sides_give_both_errors() {
    let cache = FailingCache::new().with_fallback(FailingCache::new());
    let engine = TestEngine::new("fallback");
    let key = ModuleHash::of(b"");
    let error = cache.load(key, &engine).unwrap_err();
    assert!(matches!(error, CacheError::Both { .. }), "{error:?}");
    assert!(ModuleCache::<TestEngine>::flush(&cache).is_err());
}

#[test]
fn a_permit_excludes_at_both_sides_and_a_broken_side_does_not_matter() {
    let below = ReferenceStore::new();
    let (cache, engine, key, _) = scene(disk(), StoreCache(below.clone()));
    let permit = cache.compile_permit(key, &engine).unwrap();
    assert!(matches!(permit, CompilePermit::Exclusive(_)));
    assert_eq!(cache.fallback().calls(Method::CompilePermit), 1);
    drop(permit);

    cache.primary().inject(Method::CompilePermit, Fault::Error);
    assert!(matches!(
        cache.compile_permit(key, &engine),
        Ok(CompilePermit::Exclusive(_))
    ));
    cache.fallback().inject(Method::CompilePermit, Fault::Error);
    assert!(matches!(
        cache.compile_permit(key, &engine),
        Err(CacheError::Both { .. })
    ));
}

#[test]
fn whoever_waited_for_one_side_asks_the_other_too() {
    let (above, below) = (ReferenceStore::new(), ReferenceStore::new());
    let chain = StoreCache(above.clone()).with_fallback(StoreCache(below.clone()));
    let (_, engine, key, _) = scene(disk(), disk());
    let ask = |store: &ReferenceStore| {
        ModuleCache::compile_permit(&StoreCache(store.clone()), key, &engine)
    };
    let (held_above, held_below) = (ask(&above).unwrap(), ask(&below).unwrap());
    let Ok(CompilePermit::Held(wait)) = chain.compile_permit(key, &engine) else {
        panic!("both sides are held");
    };
    drop(held_above);
    wait.wait(Duration::from_secs(1));
    let Ok(CompilePermit::Held(wait)) = chain.compile_permit(key, &engine) else {
        panic!("the other side is still held");
    };
    // What the first side gave was given back.
    assert!(matches!(ask(&above), Ok(CompilePermit::Exclusive(_))));
    drop(held_below);
    wait.wait(Duration::from_secs(1));
    let permit = chain.compile_permit(key, &engine);
    assert!(matches!(permit, Ok(CompilePermit::Exclusive(_))));
}

#[test]
fn the_outcome_of_a_save_is_that_of_the_side_that_keeps_the_module() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    let _ = cache.primary().save(key, &engine, &module).unwrap();
    assert!(matches!(
        cache.save(key, &engine, &module),
        Ok(SaveOutcome::Stored { .. })
    ));
    let already = SaveOutcome::Skipped(SkipReason::AlreadyStored);
    assert_eq!(cache.save(key, &engine, &module).unwrap(), already);

    let (nowhere, ..) = scene(None::<Disk>, None::<Disk>);
    let absent = SaveOutcome::Skipped(SkipReason::Absent);
    assert_eq!(nowhere.save(key, &engine, &module).unwrap(), absent);
    let (above, ..) = scene(Memory::new(), None::<Disk>);
    assert!(above.save(key, &engine, &module).unwrap().is_stored());
    assert_eq!(above.save(key, &engine, &module).unwrap(), already);
}

/// A storage that has nothing, and takes nothing.
#[derive(Debug)]
struct ReadOnly;

impl EntryStore for ReadOnly {
    fn get(&self, _: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        Ok(None)
    }

    fn put(&self, _: &EntryKey, _: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        Ok(SaveOutcome::Skipped(SkipReason::ReadOnly))
    }

    fn exists(&self, _: &EntryKey) -> Result<bool, CacheError> {
        Ok(false)
    }

    fn delete(&self, _: &EntryKey) -> Result<bool, CacheError> {
        Ok(false)
    }
}

/// That memory has the module is of no use to the next process.
#[test]
fn of_memory_and_a_storage_the_outcome_is_the_storages() {
    let read_only = SaveOutcome::Skipped(SkipReason::ReadOnly);
    let (cache, engine, key, module) = scene(Memory::new(), StoreCache(ReadOnly));
    assert_eq!(cache.save(key, &engine, &module).unwrap(), read_only);
    assert!(cache.primary().contains(key, &engine).unwrap());
    let none = StoreCache(ReadOnly).with_fallback(StoreCache(ReadOnly));
    let (cache, engine, key, module) = scene(Memory::new(), none);
    assert_eq!(cache.save(key, &engine, &module).unwrap(), read_only);
    let cache = StoreCache(ReadOnly).with_fallback(Memory::new());
    assert_eq!(cache.save(key, &engine, &module).unwrap(), read_only);
    // Of two storages, one that has it is enough.
    let (cache, engine, key, module) =
        scene(Memory::new().with_fallback(disk()), StoreCache(ReadOnly));
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
}

/// An engine, one that accepts its code, and the wasm of a module.
fn compiler_and_host() -> (TestEngine, TestEngine, Vec<u8>) {
    let compiler = TestEngine::new("compiler");
    let other = TestEngine::new("other");
    let host = TestEngine::accepting("host", &[&other, &compiler]);
    (compiler, host, wasm(1, 1000))
}

#[test]
fn what_is_found_under_an_accepted_id_moves_up_under_that() {
    let (compiler, host, wasm) = compiler_and_host();
    let (hash, module) = (ModuleHash::of(&wasm), compiler.compile(&wasm).unwrap());
    let (above, below) = (
        ReferenceStore::new(),
        Arc::new(Observed::new(ReferenceStore::new())),
    );
    let cache = Memory::new()
        .with_fallback(StoreCache(above.clone()))
        .with_fallback(StoreCache(Arc::clone(&below)));
    let _ = cache.fallback().save(hash, &compiler, &module).unwrap();

    let found = cache.find(hash, &host).unwrap().unwrap();
    assert_eq!(found.accepted_id.as_ref(), Some(compiler.id()));
    assert_eq!(below.calls(Method::Load), 1, "asked once for all ids");
    assert!(above.exists(&EntryKey::new(hash, *compiler.id())).unwrap());
    assert_eq!(above.len(), 1);
    assert_eq!(host.serializes(), 0);

    // From there for another process, and from memory for this one.
    for host in [&host.same_id(), &host] {
        assert!(cache.load(hash, host).unwrap().is_some());
    }
    assert_eq!(below.calls(Method::Load), 1);
}

#[test]
fn of_two_accepted_entries_below_the_one_that_the_engine_loads_counts() {
    // Refused as damaged goods would be: it is listed, and is not what it says.
    let (compiler, _, wasm) = compiler_and_host();
    let refused = TestEngine::new("refused");
    let host = TestEngine::accepting("host", &[&refused, &compiler]);
    host.reject_artifacts_of(&refused);
    let (hash, below) = (ModuleHash::of(&wasm), ReferenceStore::new());
    for engine in [&refused, &compiler] {
        let module = engine.compile(&wasm).unwrap();
        let _ = StoreCache(below.clone())
            .save(hash, engine, &module)
            .unwrap();
    }
    for above in [StoreCache(ReferenceStore::new()), StoreCache(below.clone())] {
        let cache = above.with_fallback(StoreCache(below.clone()));
        let found = cache.find(hash, &host).unwrap().unwrap();
        assert_eq!(found.accepted_id.as_ref(), Some(compiler.id()));
    }
}

#[test]
fn what_cannot_be_kept_above_is_loaded_and_named_all_the_same() {
    let (compiler, host, wasm) = compiler_and_host();
    let (hash, module) = (ModuleHash::of(&wasm), compiler.compile(&wasm).unwrap());
    let cache = StoreCache(READ_ONLY).with_fallback(disk());
    let _ = cache.fallback().save(hash, &compiler, &module).unwrap();
    let found = cache.find(hash, &host).unwrap().unwrap();
    assert_eq!(found.accepted_id.as_ref(), Some(compiler.id()));
}

#[test]
fn a_hit_above_is_offered_below_under_the_id_that_it_has() {
    #[derive(Debug, Default)]
    struct Offered(ReferenceStore, std::sync::Mutex<Vec<EntryKey>>);

    impl EntryStore for Offered {
        fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
            self.0.get(key)
        }

        fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
            self.0.put(key, entry)
        }

        fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
            self.0.exists(key)
        }

        fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
            self.0.delete(key)
        }

        fn offer(&self, key: &EntryKey, _: &dyn EntryStore) {
            self.1.lock().unwrap().push(*key);
        }
    }

    let (compiler, host, wasm) = compiler_and_host();
    let (hash, module) = (ModuleHash::of(&wasm), compiler.compile(&wasm).unwrap());
    let cache = disk().with_fallback(StoreCache(Offered::default()));
    let _ = cache.primary().save(hash, &compiler, &module).unwrap();
    assert!(cache.load(hash, &host).unwrap().is_some());
    let offered = cache.fallback().0.1.lock().unwrap();
    assert_eq!(*offered, [EntryKey::new(hash, *compiler.id())]);
}
