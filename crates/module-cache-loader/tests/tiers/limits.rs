//! When best is compiled, and when not.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use module_cache_core::Engine;
use module_cache_core::instance::WeakEngineInstance;
use module_cache_loader::{LoadError, Tier};
use module_cache_testkit::ReferenceStore;

use crate::support::{Engines, load, module, sleep_a_little};

const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

#[test]
fn what_somebody_waits_for_is_compiled_before_what_is_behind() {
    let engines = Engines::new();
    let loader = engines
        .loader(&ReferenceStore::new())
        .with_max_compiles(TWO);
    loader.pause_upgrades();
    let handle = load(&loader, &module(1)).unwrap().module;
    let hold = engines.fast.hold_compiles();
    thread::scope(|scope| {
        scope.spawn(|| load(&loader, &module(2)).unwrap());
        hold.wait_for(1);
        loader.resume_upgrades();
        sleep_a_little();
        assert_eq!(engines.best.compiles(), 0);
        drop(hold);
    });
    handle.wait_upgraded().unwrap();
}

#[test]
fn a_module_that_was_on_fast_for_too_long_is_compiled_in_its_turn() {
    let engines = Engines::new();
    let loader = engines
        .loader(&ReferenceStore::new())
        .with_max_compiles(TWO)
        .with_max_time_on_fast(Duration::ZERO);
    loader.pause_upgrades();
    let handle = load(&loader, &module(1)).unwrap().module;
    let hold = engines.fast.hold_compiles();
    thread::scope(|scope| {
        scope.spawn(|| load(&loader, &module(2)).unwrap());
        hold.wait_for(1);
        loader.resume_upgrades();
        handle.wait_upgraded().unwrap();
        drop(hold);
    });
}

#[test]
fn no_more_are_compiled_behind_than_allowed() {
    let engines = Engines::new();
    let loader = engines
        .loader(&ReferenceStore::new())
        .with_max_compiles_behind(TWO);
    let hold = engines.best.hold_compiles();
    let handles: Vec<_> = (0..6)
        .map(|n| load(&loader, &module(n)).unwrap().module)
        .collect();
    hold.wait_for(2);
    sleep_a_little();
    assert_eq!(engines.best.compiles(), 2);
    assert_eq!(loader.stats().pending_upgrades, 6);
    drop(hold);
    for handle in handles {
        handle.wait_upgraded().unwrap();
    }
}

#[test]
fn nothing_is_compiled_behind_while_upgrades_are_paused() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    loader.pause_upgrades();
    let handles = [1, 2].map(|n| load(&loader, &module(n)).unwrap().module);
    sleep_a_little();
    assert_eq!(engines.best.compiles(), 0);
    loader.resume_upgrades();
    for handle in handles {
        handle.wait_upgraded().unwrap();
    }
}

#[test]
fn a_loader_that_is_dropped_gives_up_what_it_has_not_begun_and_its_engines() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    loader.pause_upgrades();
    let handles: Vec<_> = (0..20)
        .map(|n| load(&loader, &module(n)).unwrap().module)
        .collect();
    drop(loader);
    for handle in handles {
        let outcome = handle.wait_upgraded();
        assert!(
            matches!(outcome, Err(LoadError::Abandoned(_))),
            "{outcome:?}"
        );
        assert_eq!(handle.get().tier, Tier::Fast);
    }
    assert_eq!(engines.best.compiles(), 0);
    let lives = [&engines.fast, &engines.best].map(|engine| engine.instance().downgrade());
    drop(engines);
    while lives.iter().any(WeakEngineInstance::is_alive) {
        thread::yield_now();
    }
}

#[test]
#[should_panic(expected = "configured before it is used")]
fn a_loader_in_use_is_not_configured() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let _hold = engines.best.hold_compiles();
    load(&loader, &module(1)).unwrap();
    let _ = loader.with_max_compiles(TWO);
}

#[test]
fn an_upgrade_that_came_to_the_front_is_paused_too_and_dropped_with_the_loader() {
    for drops in [false, true] {
        let (engines, store) = (Engines::new(), ReferenceStore::new());
        let loader = engines
            .loader(&store)
            .with_max_compiles(NonZeroUsize::MIN)
            .with_max_time_on_fast(Duration::ZERO);
        loader.pause_upgrades();
        let handle = load(&loader, &module(1)).unwrap().module;
        let hold = engines.fast.hold_compiles();
        let loader = Arc::new(loader);
        let other = thread::spawn({
            let loader = Arc::clone(&loader);
            move || load(&loader, &module(2)).map(drop)
        });
        hold.wait_for(1);
        loader.resume_upgrades();
        // It stands behind the one that is held.
        sleep_a_little();
        loader.pause_upgrades();
        drop(hold);
        other.join().unwrap().unwrap();
        sleep_a_little();
        assert_eq!(engines.best.compiles(), 0);
        if drops {
            drop(loader);
            assert!(handle.wait_upgraded().is_err());
            assert_eq!(engines.best.compiles(), 0);
        } else {
            loader.resume_upgrades();
            handle.wait_upgraded().unwrap();
        }
    }
}

#[test]
fn what_is_compiled_behind_when_the_loader_is_dropped_reaches_its_handles() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let hold = engines.best.hold_compiles();
    let handle = load(&loader, &module(1)).unwrap().module;
    hold.wait_for(1);
    drop(loader);
    drop(hold);
    handle.wait_upgraded().unwrap();
    assert_eq!(handle.tier(), Tier::Best);
}

#[test]
fn upgrades_that_are_paused_stay_so_when_the_loader_is_configured() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    loader.pause_upgrades();
    let loader = loader.with_max_compiles(TWO);
    let handle = load(&loader, &module(1)).unwrap().module;
    sleep_a_little();
    assert_eq!(engines.best.compiles(), 0);
    loader.resume_upgrades();
    handle.wait_upgraded().unwrap();
}

#[test]
fn what_somebody_waits_for_is_not_compiled_as_what_is_behind() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let handle = load(&loader, &module(1)).unwrap().module;
    handle.wait_upgraded().unwrap();
    let behind = || (engines.best.compiles(), engines.best.compiles_behind());
    assert_eq!(behind(), (1, 1));
    engines.fast.fail_to_compile(true);
    assert_eq!(load(&loader, &module(2)).unwrap().module.tier(), Tier::Best);
    assert_eq!(behind(), (2, 1));
    assert_eq!(engines.fast.compiles_behind(), 0);
}
