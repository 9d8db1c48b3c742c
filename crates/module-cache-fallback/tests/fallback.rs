//! Who is asked, what moves up, and whose errors count.

use std::sync::Arc;

use module_cache_core::{
    CacheError, Compile, CompilePermit, EntryKey, EntryStore, ModuleCache, ModuleHash, SaveOutcome,
};
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_testkit::{
    Capabilities, FailingCache, Fault, Fixture, Method, Observed, ReferenceCache, ReferenceStore,
    StoreCache, TestEngine, TestModule, module_cache_conformance, wasm,
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

fn three_tiers() -> Fixture<FallbackCache<FallbackCache<Memory, Disk>, Disk>> {
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
module_cache_conformance!(three_tiers_keep_the_contract, three_tiers);
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
    assert!(
        above
            .contains(&EntryKey::new(key, *module_cache_core::Engine::id(&engine)))
            .unwrap()
    );
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
fn the_outcome_of_a_save_is_that_something_was_stored() {
    let (cache, engine, key, module) = scene(Memory::new(), disk());
    let _ = cache.primary().save(key, &engine, &module).unwrap();
    assert!(matches!(
        cache.save(key, &engine, &module),
        Ok(SaveOutcome::Stored { .. })
    ));
}
