//! What goes wrong, and who notices.

use std::sync::Arc;

use module_cache_core::{EngineError, HashedModule, ModuleCache, StoreCache};
use module_cache_loader::{LoadError, Tier};
use module_cache_testkit::{FailingCache, Fault, Method, Observed, ReferenceStore};

use crate::support::{Engines, load, module};

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
    assert!(error.to_string().ends_with("of the fast tier"), "{error}");
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
