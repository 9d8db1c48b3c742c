//! `SharedCache` under many threads: the accounts are exact, the bound holds, and nothing is lost.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use module_cache_core::ModuleCache;
use module_cache_memory::SharedCache;
use support::{Plain, key};

const MAX_WEIGHT: u64 = 1000;

/// What all modules weigh that are alive, as seen from outside of the cache.
#[derive(Default)]
struct Scales {
    count: AtomicU64,
    weight: AtomicU64,
}

struct Weighed {
    name: u64,
    weight: u64,
    scales: Arc<Scales>,
}

impl Weighed {
    fn new(name: u64, weight: u64, scales: &Arc<Scales>) -> Arc<Self> {
        scales.count.fetch_add(1, Ordering::SeqCst);
        scales.weight.fetch_add(weight, Ordering::SeqCst);
        Arc::new(Self {
            name,
            weight,
            scales: Arc::clone(scales),
        })
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.scales.count.fetch_sub(1, Ordering::SeqCst);
        self.scales.weight.fetch_sub(self.weight, Ordering::SeqCst);
    }
}

type Engine = Plain<Arc<Weighed>>;

fn engine() -> Engine {
    Plain::new(|module: &Arc<Weighed>| Some(module.weight))
}

/// Numbers that differ in each thread and are the same in every run.
fn numbers(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn the_weight_is_exact_and_bounded_whatever_threads_do() {
    let cache = SharedCache::with_max_weight(MAX_WEIGHT);
    let engine = engine();
    let scales = Arc::<Scales>::default();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (1..=8)
            .map(|seed| {
                let (cache, engine, scales) = (&cache, &engine, &scales);
                scope.spawn(move || work(cache, engine, scales, seed))
            })
            .collect();
        let watcher = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(cache.weight() <= MAX_WEIGHT);
                thread::yield_now();
            }
        });
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        watcher.join().unwrap();
    });

    let count = scales.count.load(Ordering::SeqCst);
    assert_eq!(cache.len() as u64, count);
    assert_eq!(cache.weight(), scales.weight.load(Ordering::SeqCst));
    let stats = cache.stats();
    assert!(stats.evictions > 0 && stats.hits > 0);

    cache.clear();
    assert_eq!((cache.len(), cache.weight()), (0, 0));
    assert_eq!(scales.count.load(Ordering::SeqCst), 0);
}

fn work(cache: &SharedCache<Engine>, engine: &Engine, scales: &Arc<Scales>, seed: u64) {
    let mut below = numbers(seed);
    for _ in 0..20_000 {
        let name = below(64);
        match below(16) {
            0..8 => {
                if let Some(module) = cache.load(key(name), engine).unwrap() {
                    assert_eq!(module.name, name);
                }
            }
            8..13 => {
                let module = Weighed::new(name, below(120), scales);
                let _ = cache.save(key(name), engine, &module).unwrap();
            }
            13 => drop(cache.remove(key(name), engine).unwrap()),
            14 => {
                cache.pin(key(name % 4), engine);
            }
            _ => {
                cache.unpin(key(name % 4), engine);
                if name == 0 && below(50) == 0 {
                    cache.clear();
                }
            }
        }
    }
}

#[test]
fn of_many_threads_that_save_one_key_one_stores_it() {
    let scales = Arc::<Scales>::default();
    let (cache, engine) = (SharedCache::new(), engine());
    for name in 0..200 {
        let stored: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let module = Weighed::new(name, 1, &scales);
                        let outcome = cache.save(key(name), &engine, &module).unwrap();
                        usize::from(outcome.is_stored())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum()
        });
        assert_eq!(stored, 1);
    }
    assert_eq!((cache.len(), cache.weight()), (200, 200));
    assert_eq!(scales.count.load(Ordering::SeqCst), 200);
}

#[test]
fn readers_of_every_module_cannot_keep_a_writer_from_its_room() {
    let (cache, engine) = (SharedCache::with_max_weight(2), Plain::of_weights());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for n in 0..8 {
                        cache.load(key(n), &engine).unwrap();
                    }
                }
            });
        }
        for n in 0..20_000 {
            cache.remove(key(n % 8), &engine).unwrap();
            assert!(cache.save(key(n % 8), &engine, &1).unwrap().is_stored());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(cache.len(), 2);
}
