//! What goes wrong, and who notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use module_cache_core::{EngineError, HashedModule, ModuleCache, ModuleHash, StoreCache};
use module_cache_fallback::FallbackExt;
use module_cache_loader::{LoadError, ModuleLoader, Tier};
use module_cache_testkit::{
    FailingCache, Fault, Method, Observed, ReferenceCache, ReferenceStore, TestEngine, TestModule,
};

use crate::support::{Engines, load, module, settle};

/// Of fast alone.
fn fast_only(tier: Tier, _: &TestEngine, _: TestModule) -> Result<Tier, &'static str> {
    match tier {
        Tier::Best => Err("cannot link"),
        Tier::Fast => Ok(tier),
    }
}

#[test]
fn a_best_that_fails_or_panics_leaves_fast_in_place_and_is_not_tried_at_each_load() {
    for panics in [false, true] {
        let engines = Engines::new();
        engines.best.fail_to_compile(!panics);
        engines.best.panic_in_compile(panics);
        let loader = engines.loader(&ReferenceStore::new());
        for _ in 0..3 {
            let handle = load(&loader, &module(1)).unwrap().module;
            assert!(handle.wait_upgraded().is_err());
            assert_eq!(handle.get().tier, Tier::Fast);
        }
        assert_eq!((engines.fast.compiles(), engines.best.compiles()), (1, 1));
        let stats = loader.stats();
        assert_eq!((stats.upgraded, stats.failed_upgrades), (0, 1));
        // Others are upgraded as ever.
        engines.best.fail_to_compile(false);
        engines.best.panic_in_compile(false);
        load(&loader, &module(2))
            .unwrap()
            .module
            .wait_upgraded()
            .unwrap();
    }
}

#[test]
fn a_best_module_that_cannot_be_prepared_leaves_fast_in_place() {
    for panics in [false, true] {
        let loader = Engines::new().loader(&ReferenceStore::new());
        let prepare = move |tier, _: &_, _| match tier {
            Tier::Best if panics => panic!("cannot link"),
            Tier::Best => Err("cannot link"),
            Tier::Fast => Ok("fast"),
        };
        let handle = loader.load(&module(1), prepare).unwrap().module;
        let error = handle.wait_upgraded().unwrap_err();
        match (panics, &error) {
            (true, LoadError::Panicked { .. }) | (false, LoadError::Prepare { .. }) => {}
            _ => panic!("{error:?}"),
        }
        assert_eq!(*handle.get(), "fast");
        assert_eq!(loader.stats().failed_upgrades, 1);
    }
}

#[test]
fn a_fast_module_that_cannot_be_prepared_is_an_error_that_says_so() {
    let loader = Engines::new().loader(&ReferenceStore::new());
    let loaded = loader.load(&module(1), |_, _, _| Err::<(), _>("cannot link"));
    let error = loaded.unwrap_err();
    assert!(
        matches!(
            error,
            LoadError::Prepare {
                tier: Tier::Fast,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().ends_with("for the fast tier"), "{error}");
}

#[test]
fn wasm_that_fast_does_not_compile_waits_for_best_and_fast_is_not_asked_again() {
    for panics in [false, true] {
        let (engines, store) = (Engines::new(), ReferenceStore::new());
        engines.fast.fail_to_compile(!panics);
        engines.fast.panic_in_compile(panics);
        let loader = engines.loader(&store);
        for _ in 0..3 {
            let handle = load(&loader, &module(1)).unwrap().module;
            assert_eq!(handle.tier(), Tier::Best);
            assert!(
                StoreCache(store.clone())
                    .remove(module(1).hash(), &engines.best)
                    .unwrap()
            );
        }
        assert_eq!((engines.fast.compiles(), engines.best.compiles()), (1, 3));
        assert_eq!(loader.stats().without_fast, 3);
    }
}

#[test]
fn wasm_that_neither_compiles_is_the_error_of_best_and_is_compiled_once_by_each() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let invalid = Arc::new(HashedModule::new(b"no wasm".to_vec()));
    for _ in 0..3 {
        let error = load(&loader, &invalid).unwrap_err();
        assert!(matches!(error, LoadError::Compile(_)), "{error:?}");
    }
    assert_eq!((engines.fast.compiles(), engines.best.compiles()), (1, 1));
}

#[test]
fn wasm_that_cannot_be_fetched_is_an_error_and_is_tried_again() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let hash = module(1).hash();
    let none = || Err::<Vec<u8>, _>("unplugged");
    let loaded = loader.load_with(hash, none, crate::support::app);
    assert!(matches!(loaded, Err(LoadError::Fetch { .. })), "{loaded:?}");
    let some = || Ok::<_, EngineError>(module(1).wasm().to_vec());
    let loaded = loader.load_with(hash, some, crate::support::app).unwrap();
    loaded.module.wait_upgraded().unwrap();
}

#[test]
fn a_broken_cache_costs_compilations_and_no_upgrade() {
    let engines = Engines::new();
    let loader = engines.loader_over(FailingCache::new());
    load(&loader, &module(1))
        .unwrap()
        .module
        .wait_upgraded()
        .unwrap();

    for method in [
        Method::Load,
        Method::Save,
        Method::Remove,
        Method::CompilePermit,
    ] {
        let cache = Arc::new(Observed::new(StoreCache(ReferenceStore::new())));
        cache.inject(method, Fault::Panic);
        let loader = Engines::new().loader_over(Arc::clone(&cache));
        let loaded = load(&loader, &module(1));
        // A panic may cost one load.
        if loaded.is_err() {
            cache.heal(method);
        }
        let handle = load(&loader, &module(1)).unwrap().module;
        let _ = handle.wait_upgraded();
        cache.heal(method);
        let handle = load(&loader, &module(2)).unwrap().module;
        handle.wait_upgraded().unwrap();
    }
}

#[test]
fn a_best_module_that_cannot_be_prepared_leaves_fast_to_later_loads_and_starts() {
    for panics in [false, true] {
        let (store, engines) = (ReferenceStore::new(), Engines::new());
        let prepare = move |tier, engine: &_, module| match tier {
            Tier::Best if panics => panic!("cannot link"),
            tier => fast_only(tier, engine, module),
        };
        for _ in 0..3 {
            let start = engines.again();
            let loader =
                start.loader_over(ReferenceCache::new().with_fallback(StoreCache(store.clone())));
            for _ in 0..3 {
                let handle = loader.load(&module(1), prepare).unwrap().module;
                assert!(handle.wait_upgraded().is_err());
                assert_eq!(*handle.get(), Tier::Fast);
                settle(&loader);
            }
            let stats = loader.stats();
            assert_eq!((stats.upgraded, stats.failed_upgrades), (0, 1));
            drop(loader);
            let cache = StoreCache(store.clone());
            assert!(cache.contains(module(1).hash(), &engines.fast).unwrap());
        }
    }
}

#[test]
fn one_who_cannot_prepare_best_keeps_nobody_else_from_it() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let loader = engines.loader(&store);
    let hold = engines.best.hold_compiles();
    let bad = loader.load(&module(1), fast_only).unwrap().module;
    let good = load(&loader, &module(1)).unwrap().module;
    drop(hold);
    good.wait_upgraded().unwrap();
    assert!(bad.wait_upgraded().is_err());
    for _ in 0..4 {
        let handle = load(&loader, &module(1)).unwrap().module;
        assert_eq!(handle.tier(), Tier::Best);
        settle(&loader);
        let late = loader.load(&module(1), fast_only).unwrap().module;
        assert_eq!(*late.get(), Tier::Fast);
        settle(&loader);
    }
    assert_eq!(*bad.get(), Tier::Fast);
}

#[test]
fn a_module_that_only_best_compiles_and_nobody_can_prepare_is_an_error() {
    let engines = Engines::new();
    engines.fast.fail_to_compile(true);
    let loader = engines.loader(&ReferenceStore::new());
    let loaded = loader.load(&module(1), |_, _, _| -> Result<(), &str> {
        panic!("cannot link")
    });
    assert!(
        matches!(loaded, Err(LoadError::Panicked { .. })),
        "{loaded:?}"
    );
}

#[test]
fn a_module_is_counted_once_whatever_the_number_of_its_handles() {
    let loader = Engines::new().loader(&ReferenceStore::new());
    loader.pause_upgrades();
    let load_all = || [1, 2].map(|_| loader.load(&module(1), fast_only).unwrap().module);
    let failing = load_all();
    let good = load(&loader, &module(2)).unwrap().module;
    let bad = loader.load(&module(2), fast_only).unwrap().module;
    loader.resume_upgrades();
    assert!(failing.iter().all(|handle| handle.wait_upgraded().is_err()));
    assert!(good.wait_upgraded().is_ok() && bad.wait_upgraded().is_err());
    let stats = loader.stats();
    assert_eq!((stats.upgraded, stats.failed_upgrades), (1, 1));
}

#[test]
fn a_handle_whose_upgrade_failed_has_best_once_a_later_one_succeeds() {
    let (engines, hash) = (Engines::new(), module(1).hash());
    let loader = engines.loader(&ReferenceStore::new());
    let fetches = Arc::new(AtomicUsize::new(0));
    let load = |hash: ModuleHash| {
        let fetches = Arc::clone(&fetches);
        let fetch = move || match fetches.fetch_add(1, Ordering::SeqCst) {
            1 => Err("unplugged"),
            _ => Ok(module(1).wasm().to_vec()),
        };
        loader
            .load_with(hash, fetch, crate::support::app)
            .unwrap()
            .module
    };
    let early = load(hash);
    assert!(matches!(
        early.wait_upgraded(),
        Err(LoadError::Fetch { .. })
    ));
    settle(&loader);
    let late = load(hash);
    late.wait_upgraded().unwrap();
    assert_eq!((early.tier(), late.tier()), (Tier::Best, Tier::Best));
}

#[test]
fn a_load_of_best_upgrades_the_handles_that_stayed_on_fast() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&fetches);
    let fetch = move || match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(module(1).wasm().to_vec()),
        _ => Err("unplugged"),
    };
    let early = loader
        .load_with(module(1).hash(), fetch, crate::support::app)
        .unwrap()
        .module;
    assert!(early.wait_upgraded().is_err());
    settle(&loader);
    // Another process stores it.
    let other = engines.again();
    ModuleLoader::new(other.best, loader.cache().clone())
        .load(&module(1))
        .unwrap();
    assert_eq!(load(&loader, &module(1)).unwrap().module.tier(), Tier::Best);
    while early.tier() == Tier::Fast {
        thread::yield_now();
    }
}

#[test]
fn a_handle_that_stays_on_fast_keeps_what_it_prepares_with_and_no_longer() {
    let engines = Engines::new();
    engines.best.fail_to_compile(true);
    let loader = engines.loader(&ReferenceStore::new());
    let linker = Arc::new(());
    let used = Arc::clone(&linker);
    let prepare = move |_, _: &_, _| {
        let _ = &used;
        Ok::<_, EngineError>(())
    };
    let handle = loader.load(&module(1), prepare).unwrap().module;
    assert!(handle.wait_upgraded().is_err());
    assert_eq!(Arc::strong_count(&linker), 2);
    drop(handle);
    while Arc::strong_count(&linker) > 1 {
        thread::yield_now();
    }
}

#[test]
fn a_panic_of_fetch_does_not_say_that_fast_cannot_compile_it() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let hash = module(1).hash();
    let fetch = || -> Result<Vec<u8>, EngineError> { panic!("unplugged") };
    let loaded = loader.load_with(hash, fetch, crate::support::app);
    assert!(
        matches!(loaded, Err(LoadError::Panicked { .. })),
        "{loaded:?}"
    );
    load(&loader, &module(1)).unwrap();
    assert_eq!(engines.fast.compiles(), 1);
    assert_eq!(loader.stats().without_fast, 0);
}
