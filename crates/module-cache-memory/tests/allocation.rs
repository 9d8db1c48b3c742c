//! A hit in memory neither allocates nor frees. The allocator of this whole test program counts.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use module_cache_core::ModuleCache;
use module_cache_memory::{SharedCache, ThreadLocalCache};
use support::{Plain, key};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what each thread asks of the system's allocator.
struct Counting;

thread_local!(static CALLS: Cell<u64> = const { Cell::new(0) });

// SAFETY: every call is passed on to the system's allocator as it is. Counting is a plain thread-local
// without initializer or destructor, which does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller's promises are the system's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the block came from the system's allocator, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

type Engine = Plain<Arc<str>>;

fn calls_of_a_thousand_hits(cache: &impl ModuleCache<Engine>) -> u64 {
    let engine = Engine::new(|module| Some(module.len() as u64));
    let keys: Vec<_> = (0..100).map(key).collect();
    for key in &keys {
        let outcome = cache.save(*key, &engine, &Arc::from("machine code"));
        assert!(outcome.unwrap().is_stored());
    }
    // A thread's first load has its end registered, which may allocate.
    assert!(cache.load(keys[0], &engine).unwrap().is_some());
    let before = CALLS.get();
    for _ in 0..10 {
        for key in &keys {
            assert!(cache.load(*key, &engine).unwrap().is_some());
            assert!(cache.load_resident(*key, &engine).is_some());
            assert!(cache.contains(*key, &engine).unwrap());
        }
    }
    CALLS.get() - before
}

#[test]
fn the_allocator_counts() {
    let before = CALLS.get();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(CALLS.get() - before, 2);
}

#[test]
fn a_hit_in_a_shared_cache_neither_allocates_nor_frees() {
    assert_eq!(calls_of_a_thousand_hits(&SharedCache::new()), 0);
}

#[test]
fn a_hit_in_a_thread_local_cache_neither_allocates_nor_frees() {
    assert_eq!(calls_of_a_thousand_hits(&ThreadLocalCache::new()), 0);
}
