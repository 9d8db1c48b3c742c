//! Which share of requests, and of bytes, a cache answers that is bounded in bytes, on traces that are the same
//! in every run.
//!
//! No time is measured, so this is no criterion benchmark: it prints `task<TAB>cache<TAB>share`. A miss costs a
//! compilation, whose time grows with the module, so the share of bytes stands for the time that is saved.

use std::collections::HashMap;

use lru::LruCache;
use module_cache_bench::bare_engine::BareModule;
use module_cache_bench::effort;
use module_cache_bench::pass_through::PassThrough;
use module_cache_bench::random::{self, Distribution, RngExt, StandardNormal, seeded};
use module_cache_core::instance::EngineInstance;
use module_cache_core::{Engine, EngineId, ModuleCache, ModuleHash};
use module_cache_memory::SharedCache;
use quick_cache::{OptionsBuilder, Weighter, unsync};

/// Different modules in the Zipf traces. Together they weigh about 7.5 GB.
const MODULES: u32 = 4_000;

/// Bytes that a cache has room for.
const BUDGETS: [u64; 2] = [64_000_000, 1_000_000_000];

/// What a module weighs on average, about, for traces that depend on how many have room.
const AVERAGE: u64 = 2_000_000;

fn main() {
    let requests = effort::choose(200_000, 1_000_000);
    for budget in BUDGETS {
        for trace in traces(requests, budget) {
            for (cache, run) in caches(budget) {
                let (answered, bytes) = run(&trace.requests);
                for (what, share) in [("requests", answered), ("bytes", bytes)] {
                    let megabytes = budget / 1_000_000;
                    let name = trace.name;
                    println!("eviction: {what}, {name}, {megabytes} MB\t{cache}\t{share:.5}");
                }
            }
        }
    }
}

/// Requests for modules, which weigh what they say.
struct Trace {
    name: &'static str,
    requests: Vec<(ModuleHash, BareModule)>,
}

impl Trace {
    fn new(name: &'static str, modules: Vec<u64>, weight: impl Fn(u64) -> u64) -> Self {
        let mut known = HashMap::new();
        let mut module = |n: u64| {
            let new = || (ModuleHash::of(&n.to_le_bytes()), BareModule::new(weight(n)));
            known.entry(n).or_insert_with(new).clone()
        };
        let requests = modules.into_iter().map(&mut module).collect();
        Self { name, requests }
    }
}

/// A weight that depends on the module alone, and so not on how popular it is.
fn weight(n: u64) -> u64 {
    random::module_size(&mut seeded(n))
}

/// What repeats in some traces depends on the room that a cache has.
fn traces(requests: u64, room: u64) -> Vec<Trace> {
    let mut traces: Vec<_> = [
        ("Zipf 0.6", 0.6),
        ("Zipf 0.8", 0.8),
        ("Zipf 1.0", 1.0),
        ("Zipf 1.2", 1.2),
    ]
    .map(|(name, skew)| Trace::new(name, zipf(skew, requests, |n, _| n), weight))
    .into();
    for (name, popular) in [
        ("Zipf 1.0, the popular are light", Popular::Light),
        ("Zipf 1.0, the popular are heavy", Popular::Heavy),
    ] {
        let weights = correlated(popular);
        let weight = |n| weights[usize::try_from(n).unwrap()];
        traces.push(Trace::new(name, zipf(1.0, requests, |n, _| n), weight));
    }
    // Every tenth stretch of requests is a scan through modules that never come again.
    let stretch = room / AVERAGE;
    let scans = zipf(0.8, requests, |n, at| {
        let in_scan = at / stretch % 10 == 9;
        if in_scan { 1_000_000 + at } else { n }
    });
    traces.push(Trace::new("Zipf 0.8 with scans", scans, weight));
    // What is popular changes ten times.
    let shifting = zipf(1.0, requests, |n, at| n + at / (requests / 10) * 400);
    traces.push(Trace::new("Zipf 1.0, shifting", shifting, weight));
    let in_loop = modules_that_weigh(room / 5 * 6);
    let repeated = (0..requests).map(|at| at % in_loop).collect();
    traces.push(Trace::new("loop of 1.2 times the room", repeated, weight));
    traces.push(Trace::new("plugin host", plugin_host(requests), weight));
    let recent = recent(requests, stretch * 5 / 4);
    traces.push(Trace::new("only recent modules", recent, weight));
    traces
}

/// `requests` items of which `change` makes what is asked for, given the time.
fn zipf(skew: f64, requests: u64, change: impl Fn(u64, u64) -> u64) -> Vec<u64> {
    let zipf = random::zipf(MODULES, skew);
    let mut random = seeded(1);
    (0..requests)
        .map(|at| change(zipf(&mut random), at))
        .collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Popular {
    Light,
    Heavy,
}

/// Weights by popularity, which agree with its order roughly: a module's place varies by a factor of e.
fn correlated(popular: Popular) -> Vec<u64> {
    let mut weights: Vec<_> = (0..u64::from(MODULES)).map(weight).collect();
    weights.sort_unstable();
    if popular == Popular::Heavy {
        weights.reverse();
    }
    let mut random = seeded(9);
    let mut places: Vec<_> = (0..MODULES)
        .map(|n| {
            (
                f64::from(n + 1).ln() + {
                    let normal: f64 = StandardNormal.sample(&mut random);
                    normal
                },
                n,
            )
        })
        .collect();
    places.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut by_module: Vec<_> = places.iter().map(|(_, n)| n).zip(weights).collect();
    by_module.sort_unstable();
    by_module.into_iter().map(|(_, weight)| weight).collect()
}

/// How many modules, from the first one, weigh as much.
fn modules_that_weigh(room: u64) -> u64 {
    let mut sum = 0;
    let is_lighter = |n: &u64| {
        let before = sum;
        sum += weight(*n);
        before < room
    };
    (0..u64::from(MODULES)).take_while(is_lighter).count() as u64
}

/// Half of the requests go to 16 modules, and most others to a working set of 300, of which one is replaced with
/// every 200 requests. A tenth goes to a long tail.
fn plugin_host(requests: u64) -> Vec<u64> {
    let mut random = seeded(3);
    let (hot_ranks, ranks) = (random::zipf(16, 0.8), random::zipf(300, 0.7));
    let mut hot: Vec<u64> = (0..16).collect();
    let mut working_set: Vec<u64> = (16..316).collect();
    let mut new = 316..;
    let mut request = |at: u64| {
        let mut replace = |set: &mut [u64]| {
            let place = random.random_range(0..set.len() as u64);
            set[usize::try_from(place).unwrap()] = new.next().unwrap();
        };
        if at % 200 == 199 {
            replace(&mut working_set);
        }
        if at % 10_000 == 9_999 {
            replace(&mut hot);
        }
        let (set, ranks) = match random.random_range(0..10) {
            0..5 => (&hot, &hot_ranks),
            5..9 => (&working_set, &ranks),
            _ => return 1_000_000 + random.random_range(0..20_000),
        };
        set[usize::try_from(ranks(&mut random)).unwrap()]
    };
    (0..requests).map(&mut request).collect()
}

/// Any of the newest modules with equal chance, and with every eighth request, on average, a new one.
fn recent(requests: u64, newest: u64) -> Vec<u64> {
    let (mut random, mut new) = (seeded(5), 0);
    (0..requests)
        .map(|_| {
            new += u64::from(random.random_range(0..8) == 0);
            new - random.random_range(0..newest).min(new)
        })
        .collect()
}

type Run = Box<dyn Fn(&[(ModuleHash, BareModule)]) -> (f64, f64)>;

fn caches(room: u64) -> [(&'static str, Run); 4] {
    [
        ("module-cache SharedCache", run(move || Ours::new(room))),
        ("LRU", run(move || Lru::new(room))),
        ("quick_cache", run(move || quick(room))),
        ("moka", run(move || moka(room))),
    ]
}

/// Replays a trace on a new cache; returns the shares of requests and of bytes that were answered.
#[expect(clippy::cast_precision_loss, reason = "five digits are enough")]
fn run<C: Bounded>(new: impl Fn() -> C + 'static) -> Run {
    Box::new(move |trace| {
        let mut cache = new();
        let (mut hits, mut bytes, mut all_bytes) = (0_u64, 0, 0);
        for (key, module) in trace {
            all_bytes += **module;
            if cache.hit(*key) {
                hits += 1;
                bytes += **module;
            } else {
                cache.save(*key, module);
            }
        }
        (
            hits as f64 / trace.len() as f64,
            bytes as f64 / all_bytes as f64,
        )
    })
}

/// A cache with room for so many bytes.
trait Bounded {
    fn hit(&mut self, hash: ModuleHash) -> bool;
    fn save(&mut self, hash: ModuleHash, module: &BareModule);
}

/// An engine whose modules are their own weight.
struct Weighed(EngineId, EngineInstance);

impl Engine for Weighed {
    type Module = BareModule;

    fn id(&self) -> &EngineId {
        &self.0
    }

    fn instance(&self) -> &EngineInstance {
        &self.1
    }

    fn weight(&self, module: &BareModule) -> Option<u64> {
        Some(**module)
    }
}

struct Ours(Weighed, SharedCache<Weighed>);

impl Ours {
    fn new(room: u64) -> Self {
        let engine = Weighed(EngineId::builder("weighed").build(), EngineInstance::new());
        Self(engine, SharedCache::with_max_weight(room))
    }
}

impl Bounded for Ours {
    fn hit(&mut self, hash: ModuleHash) -> bool {
        self.1.load(hash, &self.0).unwrap().is_some()
    }

    fn save(&mut self, hash: ModuleHash, module: &BareModule) {
        assert!(self.1.save(hash, &self.0, module).unwrap().is_stored());
    }
}

/// Exact, and bounded by weight here, because the crate bounds the number of entries.
struct Lru {
    cache: LruCache<ModuleHash, BareModule>,
    weight: u64,
    room: u64,
}

impl Lru {
    fn new(room: u64) -> Self {
        Self {
            cache: LruCache::unbounded(),
            weight: 0,
            room,
        }
    }
}

impl Bounded for Lru {
    fn hit(&mut self, hash: ModuleHash) -> bool {
        self.cache.get(&hash).is_some()
    }

    fn save(&mut self, hash: ModuleHash, module: &BareModule) {
        self.cache.put(hash, module.clone());
        self.weight += **module;
        while self.weight > self.room {
            let (_, oldest) = self.cache.pop_lru().unwrap();
            self.weight -= *oldest;
        }
    }
}

/// Undivided: its shards would each have a part of the room, and do worse.
type Quick = unsync::Cache<ModuleHash, BareModule, ByBytes, PassThrough>;

#[derive(Clone)]
struct ByBytes;

impl Weighter<ModuleHash, BareModule> for ByBytes {
    fn weight(&self, _: &ModuleHash, module: &BareModule) -> u64 {
        **module
    }
}

fn quick(room: u64) -> Quick {
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(usize::try_from(room / AVERAGE).unwrap())
        .weight_capacity(room)
        .build();
    Quick::with_options(
        options.unwrap(),
        ByBytes,
        PassThrough::default(),
        unsync::DefaultLifecycle::default(),
    )
}

impl Bounded for Quick {
    fn hit(&mut self, hash: ModuleHash) -> bool {
        self.get(&hash).is_some()
    }

    fn save(&mut self, hash: ModuleHash, module: &BareModule) {
        self.insert(hash, module.clone());
    }
}

type Moka = moka::sync::Cache<ModuleHash, BareModule, PassThrough>;

fn moka(room: u64) -> Moka {
    moka::sync::Cache::builder()
        .max_capacity(room)
        .weigher(|_, module: &BareModule| u32::try_from(**module).unwrap())
        .build_with_hasher(PassThrough::default())
}

impl Bounded for Moka {
    fn hit(&mut self, hash: ModuleHash) -> bool {
        self.get(&hash).is_some()
    }

    fn save(&mut self, hash: ModuleHash, module: &BareModule) {
        self.insert(hash, module.clone());
        // Else it evicts some time later, and has more room than the others until then.
        self.run_pending_tasks();
    }
}
