//! What an engine leaves in a cache when its last handle is dropped: nothing. And how many descriptors modules hold.

mod support;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use module_cache_core::{ModuleCache, SaveOutcome, SkipReason};
use module_cache_memory::{SharedCache, ThreadLocalCache};
use support::{OnDrop, Plain, counting, key, without_deadlock};

#[test]
fn modules_leave_with_the_last_handle_of_their_engine_pinned_ones_too() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (cache, engine, other) = (SharedCache::new(), Plain::of_hooks(), Plain::of_hooks());
    for n in 0..3 {
        assert!(
            cache
                .save(key(n), &engine, &counting(&freed))
                .unwrap()
                .is_stored()
        );
    }
    assert!(
        cache
            .save(key(0), &other, &counting(&freed))
            .unwrap()
            .is_stored()
    );
    assert!(cache.pin(key(0), &engine));
    let handle = engine.clone();
    drop(engine);
    assert_eq!((cache.len(), freed.load(Ordering::SeqCst)), (4, 0));
    // Another thread may be the last.
    thread::spawn(move || drop(handle)).join().unwrap();
    assert_eq!((cache.len(), freed.load(Ordering::SeqCst)), (1, 3));
    assert_eq!(cache.weight(), 10);
    assert!(cache.load(key(0), &other).unwrap().is_some());
}

#[test]
fn an_engine_for_each_of_fourteen_thousand_plugins_leaves_nothing() {
    let cache = SharedCache::new();
    for n in 0..14_000 {
        let engine = Plain::of_weights().with_descriptors(1);
        assert!(
            cache
                .save(key(n % 100), &engine, &1000)
                .unwrap()
                .is_stored()
        );
        assert_eq!((cache.len(), cache.descriptors()), (1, 1));
    }
    assert_eq!(
        (cache.len(), cache.weight(), cache.descriptors()),
        (0, 0, 0)
    );
    assert_eq!(cache.stats().evictions, 0);
}

#[test]
fn a_module_that_was_handed_out_outlives_its_engine() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (cache, engine) = (SharedCache::new(), Plain::of_hooks());
    let _ = cache.save(key(0), &engine, &counting(&freed)).unwrap();
    let module = cache.load(key(0), &engine).unwrap().unwrap();
    drop(engine);
    assert_eq!((cache.len(), freed.load(Ordering::SeqCst)), (0, 0));
    drop(module);
    assert_eq!(freed.load(Ordering::SeqCst), 1);
}

#[test]
fn a_cache_that_was_cleared_or_is_gone_is_not_missed_by_the_engine() {
    let (cache, engine) = (SharedCache::new(), Plain::of_weights());
    assert!(cache.save(key(0), &engine, &1).unwrap().is_stored());
    cache.clear();
    assert!(cache.save(key(1), &engine, &1).unwrap().is_stored());
    let gone = SharedCache::new();
    assert!(gone.save(key(0), &engine, &1).unwrap().is_stored());
    drop(gone);
    drop(engine);
    assert!(cache.is_empty());
}

/// The last handle of an engine may be in a module of another, and that one in the cache.
#[test]
fn an_engine_may_end_while_the_cache_frees_a_module() {
    without_deadlock(|| {
        let cache = SharedCache::with_max_weight(10);
        let (outer, inner) = (Plain::of_hooks(), Plain::of_weights());
        let numbers = SharedCache::new();
        assert!(numbers.save(key(0), &inner, &1).unwrap().is_stored());
        let held = std::sync::Mutex::new(Some(inner));
        let module = OnDrop::new(move || drop(held.lock().unwrap().take()));
        assert!(cache.save(key(0), &outer, &module).unwrap().is_stored());
        drop(module);
        assert_eq!(numbers.len(), 1);
        let next = OnDrop::new(|| ());
        assert!(cache.save(key(1), &outer, &next).unwrap().is_stored());
        assert_eq!(numbers.len(), 0);
    });
}

#[test]
fn in_a_thread_modules_leave_at_once_with_the_last_handle_of_their_engine() {
    let cache = ThreadLocalCache::new();
    let engine = Plain::<Rc<str>>::new(|module| Some(module.len() as u64)).with_descriptors(1);
    let module: Rc<str> = "code".into();
    assert!(cache.save(key(0), &engine, &module).unwrap().is_stored());
    assert_eq!((Rc::strong_count(&module), cache.descriptors()), (2, 1));
    drop(engine);
    assert_eq!(Rc::strong_count(&module), 1);
    assert_eq!(
        (cache.len(), cache.weight(), cache.descriptors()),
        (0, 0, 0)
    );
}

#[test]
fn in_other_threads_modules_leave_when_those_use_any_cache_again() {
    let freed = Arc::new(AtomicUsize::new(0));
    let (cache, engine) = (ThreadLocalCache::new(), Plain::of_hooks());
    let (saved, wait_until_saved) = mpsc::channel();
    let (dropped, wait_until_dropped) = mpsc::channel();
    let thread = thread::spawn({
        let (cache, freed, engine) = (cache.clone(), Arc::clone(&freed), engine.clone());
        move || {
            let _ = cache.save(key(0), &engine, &counting(&freed)).unwrap();
            drop(engine);
            saved.send(()).unwrap();
            wait_until_dropped.recv().unwrap();
            assert_eq!(freed.load(Ordering::SeqCst), 0);
            assert!(ThreadLocalCache::<Plain<u64>>::new().is_empty());
            assert_eq!(freed.load(Ordering::SeqCst), 1);
        }
    });
    wait_until_saved.recv().unwrap();
    drop(engine);
    dropped.send(()).unwrap();
    thread.join().unwrap();
}

#[test]
fn modules_hold_no_more_descriptors_than_they_may_however_little_they_weigh() {
    let engine = Plain::of_weights().with_descriptors(2);
    let shared = SharedCache::new().with_max_descriptors(9);
    let local = ThreadLocalCache::new().with_max_descriptors(9);
    for n in 0..100 {
        assert!(shared.save(key(n), &engine, &1).unwrap().is_stored());
        assert!(local.save(key(n), &engine, &1).unwrap().is_stored());
        assert!(shared.descriptors() <= 9 && local.descriptors() <= 9);
    }
    assert_eq!((shared.len(), shared.descriptors()), (4, 8));
    assert_eq!((local.len(), local.descriptors()), (4, 8));
    assert_eq!(shared.stats().evictions, 96);
    for n in 96..100 {
        assert!(shared.load(key(n), &engine).unwrap().is_some());
    }
}

#[test]
fn a_limit_that_was_lowered_is_reached_with_the_next_save_whatever_that_takes() {
    let (two, none) = (Plain::of_weights().with_descriptors(2), Plain::of_weights());
    let cache = SharedCache::new();
    for n in 0..10 {
        assert!(cache.save(key(n), &two, &1).unwrap().is_stored());
    }
    let cache = cache.with_max_descriptors(5);
    assert!(cache.save(key(0), &none, &1).unwrap().is_stored());
    assert_eq!((cache.descriptors(), cache.len()), (4, 3));
}

#[test]
fn where_descriptors_are_scarce_modules_that_hold_some_leave_first() {
    let (one, none) = (Plain::of_weights().with_descriptors(1), Plain::of_weights());
    let cache = SharedCache::with_max_weight(1000).with_max_descriptors(2);
    for n in 0..10 {
        assert!(cache.save(key(n), &none, &10).unwrap().is_stored());
    }
    for n in 0..10 {
        assert!(cache.save(key(n), &one, &0).unwrap().is_stored());
    }
    assert_eq!((cache.descriptors(), cache.len()), (2, 12));
}

/// The engine would otherwise remember each cache that had a module of it.
#[cfg(target_os = "linux")]
#[test]
fn caches_that_are_gone_take_no_memory_of_an_engine_that_lives() {
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    };
    let engine = Plain::of_weights();
    let churn = |count| {
        for _ in 0..count {
            let cache = SharedCache::new();
            assert!(cache.save(key(0), &engine, &1).unwrap().is_stored());
        }
    };
    churn(100);
    let before = resident();
    churn(4000);
    // In KiB. Each cache takes 25.
    assert!(resident() < before + 40_000);
}

#[test]
fn a_module_that_holds_more_descriptors_than_there_may_be_is_skipped() {
    let engine = Plain::of_weights().with_descriptors(3);
    let cache = SharedCache::new().with_max_descriptors(4);
    assert!(cache.save(key(0), &engine, &1).unwrap().is_stored());
    assert!(cache.pin(key(0), &engine));
    let outcome = cache.save(key(1), &engine, &1).unwrap();
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::NoSpace));
    let outcome = SharedCache::new()
        .with_max_descriptors(2)
        .save(key(1), &engine, &1)
        .unwrap();
    assert_eq!(outcome, SaveOutcome::Skipped(SkipReason::TooLarge));
}

/// The default follows `ulimit -n`.
#[cfg(unix)]
#[test]
fn half_of_the_descriptors_that_the_process_may_have_are_left_to_others() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    const CHILD: &str = "MODULE_CACHE_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(CHILD).is_none() {
        let name = "half_of_the_descriptors_that_the_process_may_have_are_left_to_others";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    let limit = Rlimit {
        current: Some(100),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let (cache, engine) = (SharedCache::new(), Plain::of_weights().with_descriptors(1));
    for n in 0..200 {
        assert!(cache.save(key(n), &engine, &1).unwrap().is_stored());
    }
    assert_eq!(cache.descriptors(), 50);
}
