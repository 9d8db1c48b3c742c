//! Which share of requests a bounded cache answers, on traces that are the same in every run.
//!
//! No time is measured, so this is no criterion benchmark: it prints `task<TAB>cache<TAB>hit ratio`.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use module_cache_bench::bare_engine::{BareEngine, BareModule};
use module_cache_bench::pass_through::PassThrough;
use module_cache_bench::random::{Random, Zipf};
use module_cache_bench::{effort, peers};
use module_cache_core::{ModuleCache, ModuleHash};
use module_cache_memory::SharedCache;
use quick_cache::{OptionsBuilder, UnitWeighter, unsync};

/// Different modules in the Zipf traces.
const MODULES: u32 = 10_000;

/// Modules that a cache has room for; the small budget is one in a hundred, the large one in ten.
const BUDGETS: [usize; 2] = [100, 1_000];

fn main() {
    let requests = effort::choose(200_000, 1_000_000);
    for budget in BUDGETS {
        for (name, trace) in traces(requests, budget as u64) {
            let keys: Vec<_> = (0..=trace.iter().copied().max().unwrap_or(0))
                .map(|n| ModuleHash::of(&n.to_le_bytes()))
                .collect();
            for (cache, run) in caches(budget) {
                let requests = u32::try_from(trace.len()).unwrap();
                let hits = run(&mut trace.iter().map(|n| keys[usize::try_from(*n).unwrap()]));
                println!(
                    "eviction: {name}, room for {budget}\t{cache}\t{:.5}",
                    f64::from(hits) / f64::from(requests)
                );
            }
        }
    }
}

/// The traces by name; what repeats in them depends on the room that a cache has.
fn traces(requests: u64, room: u64) -> Vec<(String, Vec<u64>)> {
    let mut traces: Vec<_> = [0.6, 0.8, 1.0, 1.2]
        .map(|skew| (format!("Zipf {skew:.1}"), zipf(skew, requests, |n, _| n)))
        .into();
    // Every tenth request of one kind is the next of many modules that are asked for only once.
    traces.push((
        "Zipf 0.8 with scans".to_owned(),
        zipf(0.8, requests, |n, at| {
            let in_scan = at / room % 10 == 9;
            if in_scan { 1_000_000 + at } else { n }
        }),
    ));
    // What is popular changes ten times.
    traces.push((
        "Zipf 1.0, shifting".to_owned(),
        zipf(1.0, requests, |n, at| n + at / (requests / 10) * 1_000),
    ));
    traces.push((
        "loop of 1.2 times the room".to_owned(),
        (0..requests).map(|at| at % (room * 6 / 5)).collect(),
    ));
    traces
}

/// `requests` items of which `change` makes what is asked for, given the time.
fn zipf(skew: f64, requests: u64, change: impl Fn(u64, u64) -> u64) -> Vec<u64> {
    let zipf = Zipf::new(MODULES, skew);
    let mut random = Random::new(1);
    (0..requests)
        .map(|at| change(zipf.next(&mut random), at))
        .collect()
}

type Run = Box<dyn Fn(&mut dyn Iterator<Item = ModuleHash>) -> u32>;

fn caches(room: usize) -> [(&'static str, Run); 4] {
    [
        ("module-cache SharedCache", run(move || Ours::new(room))),
        (
            "LRU",
            run(move || LruCache::new(NonZeroUsize::new(room).unwrap())),
        ),
        ("quick_cache", run(move || quick(room))),
        ("moka", run(move || peers::moka(room))),
    ]
}

/// Replays a trace on a new cache, and counts the hits.
fn run<C: Bounded>(new: impl Fn() -> C + 'static) -> Run {
    let module = Arc::new(0);
    Box::new(move |trace| {
        let mut cache = new();
        let mut hits = 0;
        for key in trace {
            if cache.hit(key) {
                hits += 1;
            } else {
                cache.save(key, &module);
            }
        }
        hits
    })
}

/// A cache with room for so many modules.
trait Bounded {
    fn hit(&mut self, key: ModuleHash) -> bool;
    fn save(&mut self, key: ModuleHash, module: &BareModule);
}

struct Ours(BareEngine, SharedCache<BareEngine>);

impl Ours {
    fn new(room: usize) -> Self {
        Self(BareEngine::new(), SharedCache::with_max_weight(room as u64))
    }
}

impl Bounded for Ours {
    fn hit(&mut self, key: ModuleHash) -> bool {
        self.1.load(key, &self.0).unwrap().is_some()
    }

    fn save(&mut self, key: ModuleHash, module: &BareModule) {
        assert!(self.1.save(key, &self.0, module).unwrap().is_stored());
    }
}

impl Bounded for LruCache<ModuleHash, BareModule> {
    fn hit(&mut self, key: ModuleHash) -> bool {
        self.get(&key).is_some()
    }

    fn save(&mut self, key: ModuleHash, module: &BareModule) {
        self.put(key, module.clone());
    }
}

/// Undivided: its shards would each have a part of the room, and do worse.
type Quick = unsync::Cache<ModuleHash, BareModule, UnitWeighter, PassThrough>;

fn quick(room: usize) -> Quick {
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(room)
        .weight_capacity(room as u64)
        .build();
    Quick::with_options(
        options.unwrap(),
        UnitWeighter,
        PassThrough::default(),
        unsync::DefaultLifecycle::default(),
    )
}

impl Bounded for Quick {
    fn hit(&mut self, key: ModuleHash) -> bool {
        self.get(&key).is_some()
    }

    fn save(&mut self, key: ModuleHash, module: &BareModule) {
        self.insert(key, module.clone());
    }
}

impl Bounded for peers::Moka {
    fn hit(&mut self, key: ModuleHash) -> bool {
        self.get(&key).is_some()
    }

    fn save(&mut self, key: ModuleHash, module: &BareModule) {
        self.insert(key, module.clone());
        // Else it evicts some time later, and has more room than the others until then.
        self.run_pending_tasks();
    }
}
