//! What `SharedCache` does beyond the contract of all caches: eviction, pins, accounts.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use module_cache_core::{ModuleCache, SaveOutcome, SkipReason};
use module_cache_memory::SharedCache;
use support::{OnDrop, Plain, key, without_deadlock};

type Cache = SharedCache<Plain<u64>>;

/// Saves modules of weight 1 under these keys.
fn save_all(cache: &Cache, engine: &Plain<u64>, keys: impl IntoIterator<Item = u64>) {
    for n in keys {
        assert!(cache.save(key(n), engine, &1).unwrap().is_stored());
    }
}

/// Which of the keys below 100 are there.
fn present(cache: &Cache, engine: &Plain<u64>) -> Vec<u64> {
    (0..100)
        .filter(|&n| cache.contains(key(n), engine).unwrap())
        .collect()
}

fn hit(cache: &Cache, engine: &Plain<u64>, n: u64) {
    assert!(cache.load(key(n), engine).unwrap().is_some());
}

#[test]
fn the_handle_is_shared_by_threads_and_clones() {
    fn is_a_shared_handle<T: Send + Sync + Clone>(_: &T) {}
    let (cache, engine) = (Cache::new(), Plain::of_weights());
    is_a_shared_handle(&cache);
    save_all(&cache.clone(), &engine, [1]);
    hit(&cache, &engine, 1);
    assert_eq!(cache.stats(), cache.clone().stats());
}

#[test]
fn what_was_just_saved_is_there_whatever_else_is() {
    let (cache, engine) = (Cache::with_max_weight(10), Plain::of_weights());
    for n in 0..100 {
        for earlier in 0..n {
            cache.load(key(earlier), &engine).unwrap();
        }
        let weight = 1 + n % 10;
        assert!(cache.save(key(n), &engine, &weight).unwrap().is_stored());
        hit(&cache, &engine, n);
    }
}

#[test]
fn modules_nobody_asked_for_again_leave_first() {
    let (cache, engine) = (Cache::with_max_weight(4), Plain::of_weights());
    save_all(&cache, &engine, 0..4);
    hit(&cache, &engine, 0);
    hit(&cache, &engine, 2);
    save_all(&cache, &engine, [4, 5, 6]);
    let present = present(&cache, &engine);
    assert!([0, 2, 6].iter().all(|n| present.contains(n)), "{present:?}");
}

#[test]
fn of_equal_modules_requested_equally_often_the_oldest_leaves_first() {
    let (cache, engine) = (Cache::with_max_weight(2), Plain::of_weights());
    save_all(&cache, &engine, [0, 1, 2]);
    assert_eq!(present(&cache, &engine), [1, 2]);
    hit(&cache, &engine, 1);
    save_all(&cache, &engine, [3]);
    assert_eq!(present(&cache, &engine), [1, 3]);
}

#[test]
fn a_scan_does_not_wash_out_what_is_in_use() {
    let (cache, engine) = (Cache::with_max_weight(10), Plain::of_weights());
    save_all(&cache, &engine, 0..8);
    for n in 8..1000 {
        (0..8).for_each(|used| hit(&cache, &engine, used));
        save_all(&cache, &engine, [n]);
    }
    assert_eq!(present(&cache, &engine)[..8], [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!((cache.len(), cache.weight()), (10, 10));
    assert_eq!(cache.stats().evictions, 990);
}

#[test]
fn a_look_with_contains_protects_nothing() {
    let (cache, engine) = (Cache::with_max_weight(2), Plain::of_weights());
    save_all(&cache, &engine, [0, 1]);
    for n in 2..10 {
        assert!(cache.contains(key(n - 1), &engine).unwrap());
        save_all(&cache, &engine, [n]);
        assert_eq!(present(&cache, &engine), [n - 1, n]);
    }
}

#[test]
fn one_heavy_module_takes_the_place_of_many() {
    let (cache, engine) = (Cache::with_max_weight(10), Plain::of_weights());
    save_all(&cache, &engine, 0..10);
    let outcome = cache.save(key(10), &engine, &7).unwrap();
    assert_eq!(outcome, SaveOutcome::Stored { bytes: 7 });
    assert_eq!(present(&cache, &engine).len(), 4);
    hit(&cache, &engine, 10);
    assert_eq!(cache.weight(), 10);
}

#[test]
fn a_module_heavier_than_the_bound_is_skipped_and_evicts_nothing() {
    let (cache, engine) = (Cache::with_max_weight(10), Plain::of_weights());
    save_all(&cache, &engine, 0..10);
    for weight in [11, u64::MAX] {
        let outcome = cache.save(key(10), &engine, &weight).unwrap();
        assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::TooLarge));
    }
    assert_eq!((cache.len(), cache.stats().skipped), (10, 2));
}

#[test]
fn weights_near_the_largest_number_do_not_overflow() {
    let (cache, engine) = (Cache::with_max_weight(u64::MAX), Plain::of_weights());
    for n in 0..3 {
        assert!(
            cache
                .save(key(n), &engine, &(u64::MAX - 1))
                .unwrap()
                .is_stored()
        );
        assert_eq!((cache.len(), cache.weight()), (1, u64::MAX - 1));
    }
}

#[test]
fn modules_that_cannot_be_weighed_are_never_evicted() {
    let cache = SharedCache::with_max_weight(0);
    let engine = Plain::<u64>::new(|_| None);
    for n in 0..1000 {
        let outcome = cache.save(key(n), &engine, &n).unwrap();
        assert_eq!(outcome, SaveOutcome::Stored { bytes: 0 });
    }
    assert_eq!((cache.len(), cache.weight()), (1000, 0));
}

#[test]
fn the_module_that_was_saved_first_stays() {
    let (cache, engine) = (Cache::new(), Plain::of_weights());
    assert!(cache.save(key(0), &engine, &1).unwrap().is_stored());
    let outcome = cache.save(key(0), &engine, &2).unwrap();
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::AlreadyStored));
    assert_eq!(cache.load(key(0), &engine).unwrap(), Some(1));
    assert_eq!((cache.weight(), cache.stats().skipped), (1, 0));
}

#[test]
fn engines_of_equal_id_never_share_a_live_module() {
    let cache = Cache::with_max_weight(10);
    let (one, other) = (Plain::of_weights(), Plain::of_weights());
    assert!(cache.save(key(0), &one, &3).unwrap().is_stored());
    assert_eq!(cache.load(key(0), &other).unwrap(), None);
    assert!(!cache.remove(key(0), &other).unwrap());
    assert!(!cache.pin(key(0), &other));
    assert!(cache.save(key(0), &other, &4).unwrap().is_stored());
    assert_eq!(cache.load(key(0), &one).unwrap(), Some(3));
    assert_eq!(cache.load(key(0), &other).unwrap(), Some(4));
}

#[test]
fn a_pinned_module_is_not_evicted_until_it_is_unpinned() {
    let (cache, engine) = (Cache::with_max_weight(3), Plain::of_weights());
    save_all(&cache, &engine, 0..3);
    assert!(cache.pin(key(2), &engine));
    assert!(cache.pin(key(2), &engine));
    for n in 3..20 {
        assert!(cache.save(key(n), &engine, &2).unwrap().is_stored());
        assert_eq!(present(&cache, &engine), [2, n]);
    }
    assert!(cache.unpin(key(2), &engine));
    assert!(!cache.unpin(key(2), &engine));
    assert!(cache.save(key(20), &engine, &3).unwrap().is_stored());
    assert_eq!(present(&cache, &engine), [20]);
}

#[test]
fn where_pinned_modules_leave_too_little_room_a_save_is_skipped_and_evicts_nothing() {
    let (cache, engine) = (Cache::with_max_weight(10), Plain::of_weights());
    save_all(&cache, &engine, 0..10);
    (0..8).for_each(|n| assert!(cache.pin(key(n), &engine)));
    let outcome = cache.save(key(10), &engine, &3).unwrap();
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::NoSpace));
    assert_eq!((cache.len(), cache.stats().skipped), (10, 1));
    assert!(cache.save(key(10), &engine, &2).unwrap().is_stored());
    assert_eq!((cache.len(), cache.weight()), (9, 10));
}

#[test]
fn what_is_not_there_cannot_be_pinned() {
    let (cache, engine) = (Cache::new(), Plain::of_weights());
    assert!(!cache.pin(key(0), &engine));
    assert!(!cache.unpin(key(0), &engine));
}

#[test]
fn removing_a_pinned_module_forgets_the_pin() {
    let (cache, engine) = (Cache::with_max_weight(1), Plain::of_weights());
    save_all(&cache, &engine, [0]);
    assert!(cache.pin(key(0), &engine));
    assert!(cache.remove(key(0), &engine).unwrap());
    save_all(&cache, &engine, [0, 1]);
    assert_eq!(present(&cache, &engine), [1]);
}

#[test]
fn clear_forgets_modules_and_pins_and_keeps_the_statistics() {
    let (cache, engine) = (Cache::with_max_weight(3), Plain::of_weights());
    save_all(&cache, &engine, 0..4);
    cache.pin(key(3), &engine);
    cache.clear();
    assert!(cache.is_empty());
    assert_eq!((cache.len(), cache.weight()), (0, 0));
    assert_eq!(present(&cache, &engine), []);
    save_all(&cache, &engine, 0..4);
    assert_eq!((cache.len(), cache.weight()), (3, 3));
    assert_eq!(cache.stats().saves, 8);
}

#[test]
fn a_load_is_counted_once_though_a_loader_looks_twice() {
    let (cache, engine) = (Cache::new(), Plain::of_weights());
    assert!(cache.load_resident(key(0), &engine).is_none());
    assert!(cache.load(key(0), &engine).unwrap().is_none());
    save_all(&cache, &engine, [0]);
    assert!(cache.load_resident(key(0), &engine).is_some());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (1, 1));
    assert_eq!((stats.saves, stats.bytes_saved), (1, 1));
}

#[test]
fn debug_says_how_full_it_is() {
    let cache = Cache::with_max_weight(9).with_max_descriptors(5);
    let engine = Plain::of_weights();
    save_all(&cache, &engine, [0]);
    assert_eq!(
        format!("{cache:?}"),
        "SharedCache { len: 1, weight: 1, max_weight: 9, descriptors: 0, max_descriptors: 5 }"
    );
}

/// In every way in which a module can leave, its `Drop` may use all of the cache.
#[test]
fn a_module_that_calls_the_cache_when_it_is_dropped_does_not_deadlock() {
    without_deadlock(|| {
        let cache = SharedCache::with_max_weight(20);
        let engine = Plain::of_hooks();
        let drops = Arc::new(AtomicUsize::new(0));
        let module = || {
            let (drops, cache, engine) = (Arc::clone(&drops), cache.clone(), engine.clone());
            OnDrop::new(move || {
                drops.fetch_add(1, Ordering::Relaxed);
                assert!(cache.weight() <= 20);
                for n in 0..5 {
                    cache.pin(key(n), &engine);
                    cache.unpin(key(n), &engine);
                    cache.load(key(n), &engine).unwrap();
                }
                let quiet = OnDrop::new(|| ());
                let _ = cache.save(key(9), &engine, &quiet).unwrap();
                cache.remove(key(9), &engine).unwrap();
            })
        };
        let save = |n| cache.save(key(n), &engine, &module()).unwrap();
        let dropped_by = |act: &dyn Fn()| {
            let before = drops.load(Ordering::Relaxed);
            act();
            drops.load(Ordering::Relaxed) - before
        };

        assert!(save(0).is_stored());
        assert_eq!(dropped_by(&|| assert!(!save(0).is_stored())), 1);
        assert!(save(1).is_stored());
        // Room for one, and room again for what its `Drop` saves.
        assert_eq!(dropped_by(&|| assert!(save(2).is_stored())), 2);
        let left = (0..3).find(|&n| cache.contains(key(n), &engine).unwrap());
        let remove = || assert!(cache.remove(key(left.unwrap()), &engine).unwrap());
        assert_eq!(dropped_by(&remove), 1);
        assert!(save(3).is_stored());
        assert_eq!(dropped_by(&|| cache.clear()), 1);
    });
}

/// A module that is heavier than the bound leaves as soon as it came.
#[test]
fn a_skipped_module_may_call_the_cache_when_it_is_dropped() {
    without_deadlock(|| {
        let (cache, engine) = (SharedCache::with_max_weight(9), Plain::of_hooks());
        let module = {
            let (cache, engine) = (cache.clone(), engine.clone());
            OnDrop::new(move || assert!(cache.load(key(0), &engine).unwrap().is_none()))
        };
        let outcome = cache.save(key(0), &engine, &module).unwrap();
        assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::TooLarge));
    });
}
