//! What `ThreadLocalCache` does beyond the contract of all caches: modules that stay in their thread.

mod support;

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use module_cache_core::{ModuleCache, SaveOutcome, SkipReason};
use module_cache_memory::ThreadLocalCache;
use support::{OnDrop, Plain, counting, key};

#[test]
fn the_handle_is_send_and_sync_though_modules_are_not() {
    fn is_a_shared_handle<T: Send + Sync + Clone>(_: &T) {}
    let engine = Plain::<Rc<str>>::new(|module| Some(module.len() as u64));
    let cache = ThreadLocalCache::new();
    is_a_shared_handle(&cache);
    let module: Rc<str> = "code".into();
    assert!(cache.save(key(0), &engine, &module).unwrap().is_stored());
    let found = cache.load(key(0), &engine).unwrap().unwrap();
    assert!(Rc::ptr_eq(&found, &module));
    assert_eq!((cache.len(), cache.weight()), (1, 4));
}

#[test]
fn each_thread_has_its_own_modules_bound_and_statistics() {
    let (cache, engine) = (ThreadLocalCache::with_max_weight(2), Plain::of_weights());
    assert!(cache.save(key(0), &engine, &1).unwrap().is_stored());
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(cache.is_empty());
            assert_eq!(cache.load(key(0), &engine).unwrap(), None);
            for n in 0..3 {
                assert!(cache.save(key(n), &engine, &1).unwrap().is_stored());
            }
            let stats = cache.stats();
            assert_eq!((stats.misses, stats.evictions), (1, 1));
            cache.clear();
        });
    });
    assert_eq!(cache.load(key(0), &engine).unwrap(), Some(1));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.evictions), (1, 0, 0));
}

#[test]
fn clones_share_modules_and_other_caches_do_not() {
    let (cache, engine) = (ThreadLocalCache::new(), Plain::of_weights());
    assert!(cache.save(key(0), &engine, &5).unwrap().is_stored());
    assert_eq!(cache.clone().load(key(0), &engine).unwrap(), Some(5));
    let other = ThreadLocalCache::new();
    assert_eq!(other.load(key(0), &engine).unwrap(), None);
    // One of another engine type lies in the same list.
    let texts = ThreadLocalCache::new();
    let text_engine = Plain::<&str>::new(|_| None);
    assert!(
        texts
            .save(key(0), &text_engine, &"text")
            .unwrap()
            .is_stored()
    );
    assert_eq!(texts.load(key(0), &text_engine).unwrap(), Some("text"));
    assert_eq!(cache.load(key(0), &engine).unwrap(), Some(5));
}

#[test]
fn a_cache_made_after_another_was_dropped_is_empty() {
    let engine = Plain::of_weights();
    for round in 0..100 {
        let cache = ThreadLocalCache::new();
        assert_eq!(cache.load(key(0), &engine).unwrap(), None);
        assert!(cache.save(key(0), &engine, &round).unwrap().is_stored());
        assert_eq!(cache.load(key(0), &engine).unwrap(), Some(round));
        assert_eq!((cache.len(), cache.stats().hits), (1, 1));
    }
}

#[test]
fn engines_of_equal_id_never_share_a_live_module() {
    let cache = ThreadLocalCache::new();
    let (one, other) = (Plain::of_weights(), Plain::of_weights());
    assert!(cache.save(key(0), &one, &3).unwrap().is_stored());
    assert_eq!(cache.load(key(0), &other).unwrap(), None);
}

#[test]
fn a_module_heavier_than_the_bound_is_skipped() {
    let (cache, engine) = (ThreadLocalCache::with_max_weight(5), Plain::of_weights());
    let outcome = cache.save(key(0), &engine, &6).unwrap();
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::TooLarge));
    assert_eq!(cache.stats().skipped, 1);
}

#[test]
fn modules_are_freed_at_once_in_the_thread_that_drops_the_last_handle() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (cache, engine) = (ThreadLocalCache::new(), Plain::of_hooks());
    let clone = cache.clone();
    let _ = cache.save(key(0), &engine, &counting(&freed)).unwrap();
    drop(cache);
    assert_eq!(freed.load(Ordering::SeqCst), 0);
    drop(clone);
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

#[test]
fn modules_are_freed_in_other_threads_when_those_use_any_cache_again() {
    freed_in_another_thread(|| assert!(ThreadLocalCache::<Plain<u64>>::new().is_empty()));
}

#[test]
fn a_miss_frees_what_can_be_freed_and_so_does_a_look_that_finds_nothing_resident() {
    let (cache, engine) = (ThreadLocalCache::new(), Plain::of_weights());
    let miss = {
        let (cache, engine) = (cache.clone(), engine.clone());
        move || {
            assert!(cache.save(key(0), &engine, &1).unwrap().is_stored());
            assert_eq!(cache.load(key(0), &engine).unwrap(), Some(1));
            assert_eq!(cache.load(key(1), &engine).unwrap(), None);
        }
    };
    freed_in_another_thread(miss);
    freed_in_another_thread(move || assert_eq!(cache.load_resident(key(1), &engine), None));
}

/// Drops a cache, of which another thread still has a module, and asserts that this is freed when that thread acts.
fn freed_in_another_thread(act: impl FnOnce() + Send + 'static) {
    let freed = Arc::new(AtomicUsize::new(0));
    let cache = ThreadLocalCache::new();
    let (saved, wait_until_saved) = mpsc::channel();
    let (dropped, wait_until_dropped) = mpsc::channel();
    let thread = thread::spawn({
        let (cache, freed) = (cache.clone(), Arc::clone(&freed));
        move || {
            let engine = Plain::of_hooks();
            let _ = cache.save(key(0), &engine, &counting(&freed)).unwrap();
            drop(cache);
            saved.send(()).unwrap();
            wait_until_dropped.recv().unwrap();
            assert_eq!(freed.load(Ordering::SeqCst), 0);
            act();
            assert_eq!(freed.load(Ordering::SeqCst), 1);
        }
    });
    wait_until_saved.recv().unwrap();
    drop(cache);
    dropped.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn modules_are_freed_when_their_thread_ends() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (cache, engine) = (ThreadLocalCache::new(), Plain::of_hooks());
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let _ = cache.save(key(0), &engine, &counting(&freed)).unwrap();
        });
        thread.join().unwrap();
    });
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

/// In every way in which a module can leave, its `Drop` may use all of the cache.
#[test]
fn a_module_may_call_the_cache_when_it_is_dropped() {
    let cache = ThreadLocalCache::with_max_weight(20);
    let engine = Plain::of_hooks();
    let drops = Arc::new(AtomicUsize::new(0));
    let module = || {
        let (drops, cache, engine) = (Arc::clone(&drops), cache.clone(), engine.clone());
        OnDrop::new(move || {
            drops.fetch_add(1, Ordering::SeqCst);
            assert!(cache.weight() <= 20);
            cache.load(key(2), &engine).unwrap();
            let quiet = OnDrop::new(|| ());
            let _ = cache.save(key(9), &engine, &quiet).unwrap();
            cache.remove(key(9), &engine).unwrap();
        })
    };
    let save = |n| cache.save(key(n), &engine, &module()).unwrap();
    let dropped_by = |act: &dyn Fn()| {
        let before = drops.load(Ordering::SeqCst);
        act();
        drops.load(Ordering::SeqCst) - before
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
}

#[test]
fn a_module_that_is_cloned_may_load_from_caches_and_not_change_them() {
    #[derive(Default)]
    struct OnClone(Rc<OnceCell<Box<dyn Fn()>>>);

    impl Clone for OnClone {
        fn clone(&self) -> Self {
            if let Some(act) = self.0.get() {
                act();
            }
            Self(Rc::clone(&self.0))
        }
    }

    let (cache, engine) = (ThreadLocalCache::new(), Plain::<OnClone>::new(|_| Some(1)));
    let module = OnClone::default();
    assert!(cache.save(key(0), &engine, &module).unwrap().is_stored());
    let act = {
        let cache = cache.clone();
        move || {
            cache.clear();
            assert_eq!(cache.len(), 1);
            let (other, weights) = (ThreadLocalCache::new(), Plain::of_weights());
            assert_eq!(other.load(key(0), &weights).unwrap(), None);
            let outcome = other.save(key(0), &weights, &1).unwrap();
            assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::Busy));
            assert!(!other.remove(key(0), &weights).unwrap());
        }
    };
    assert!(module.0.set(Box::new(act)).is_ok());
    for _ in 0..2 {
        assert!(cache.load(key(0), &engine).unwrap().is_some());
    }
    cache.clear();
    assert!(cache.load(key(0), &engine).unwrap().is_none());
}

#[test]
fn while_a_thread_ends_loads_are_misses_and_saves_are_skipped() {
    let freed = Arc::new(AtomicUsize::new(0));
    let thread = thread::spawn({
        let freed = Arc::clone(&freed);
        move || {
            let cache = ThreadLocalCache::new();
            let engine = Plain::of_hooks();
            let module = OnDrop::new({
                let (cache, engine) = (cache.clone(), engine.clone());
                move || {
                    assert!(cache.load(key(1), &engine).unwrap().is_none());
                    assert!(!cache.contains(key(0), &engine).unwrap());
                    let outcome = cache.save(key(1), &engine, &OnDrop::new(|| ()));
                    let skipped = SaveOutcome::Skipped(SkipReason::NoSpace);
                    assert_eq!(outcome.unwrap(), skipped);
                    assert!(!cache.remove(key(0), &engine).unwrap());
                    cache.clear();
                    assert_eq!((cache.len(), cache.weight()), (0, 0));
                    assert_eq!(cache.stats().saves, 0);
                    freed.fetch_add(1, Ordering::SeqCst);
                }
            });
            assert!(cache.save(key(0), &engine, &module).unwrap().is_stored());
            assert!(cache.load(key(0), &engine).unwrap().is_some());
            // The thread's end frees the module, whose handle is then the last one.
        }
    });
    thread.join().unwrap();
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}
