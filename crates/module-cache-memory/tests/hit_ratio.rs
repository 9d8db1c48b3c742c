//! Which share of requests `SharedCache` answers, on traces that are the same in every run, beside LRU and beside
//! the best that can be had. Peers are measured in `module-cache-bench`.

mod support;

use std::collections::{BTreeMap, HashMap};

use module_cache_core::{ModuleCache, ModuleHash};
use module_cache_memory::SharedCache;
use support::{Plain, key};

const REQUESTS: u64 = 200_000;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what a double holds"
    )]
    fn fraction(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Requests for 10,000 modules, the most popular of which are the lowest numbers.
struct Zipf {
    /// The share of requests that go to a module or to one more popular.
    shares: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new(skew: f64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<_> = (1..=10_000)
            .map(|rank| {
                sum += f64::from(rank).powf(-skew);
                sum
            })
            .collect();
        for share in &mut shares {
            *share /= sum;
        }
        Self {
            shares,
            random: Random(1),
        }
    }

    fn next(&mut self) -> u64 {
        let at = self.random.fraction();
        self.shares.partition_point(|share| *share < at) as u64
    }

    fn trace(mut self, change: impl Fn(u64, u64) -> u64) -> Vec<u64> {
        (0..REQUESTS).map(|at| change(self.next(), at)).collect()
    }
}

fn percent(hits: usize) -> f64 {
    let hits = u32::try_from(hits).unwrap();
    let requests = u32::try_from(REQUESTS).unwrap();
    f64::from(hits) * 100.0 / f64::from(requests)
}

fn ours(room: u64, trace: &[u64], weight: impl Fn(u64) -> u64) -> f64 {
    let (cache, engine) = (SharedCache::with_max_weight(room), Plain::of_weights());
    let mut keys = HashMap::<u64, ModuleHash>::new();
    let answered = trace.iter().filter(|&&n| {
        let key = *keys.entry(n).or_insert_with(|| key(n));
        let hit = cache.load(key, &engine).unwrap().is_some();
        if !hit {
            let outcome = cache.save(key, &engine, &weight(n)).unwrap();
            assert!(outcome.is_stored());
        }
        hit
    });
    percent(answered.count())
}

fn lru(room: u64, trace: &[u64], weight: impl Fn(u64) -> u64) -> f64 {
    let (mut order, mut used, mut held) = (BTreeMap::new(), HashMap::new(), 0);
    let answered = (0..).zip(trace).filter(|(at, n)| {
        let before: Option<i32> = used.insert(**n, *at);
        match before {
            Some(before) => drop(order.remove(&before)),
            None => held += weight(**n),
        }
        order.insert(*at, **n);
        while held > room {
            let (_, oldest) = order.pop_first().unwrap();
            used.remove(&oldest);
            held -= weight(oldest);
        }
        before.is_some()
    });
    percent(answered.count())
}

#[test]
fn where_popularity_stays_it_comes_near_to_keeping_the_most_popular() {
    for (room, skew, from_best) in [(100, 0.8, 1.5), (1000, 1.2, 1.5)] {
        let zipf = Zipf::new(skew);
        let best = zipf.shares[usize::try_from(room).unwrap() - 1] * 100.0;
        let trace = zipf.trace(|n, _| n);
        let (ours, lru) = (ours(room, &trace, |_| 1), lru(room, &trace, |_| 1));
        assert!(
            ours > lru && ours > best - from_best,
            "{ours}, {lru}, {best}"
        );
    }
}

#[test]
fn where_popularity_changes_it_is_no_worse_than_lru() {
    for room in [100, 1000] {
        let trace = Zipf::new(1.0).trace(|n, at| n + at / (REQUESTS / 10) * 1000);
        let (ours, lru) = (ours(room, &trace, |_| 1), lru(room, &trace, |_| 1));
        assert!(ours >= lru, "{ours}, {lru}");
    }
}

#[test]
fn a_round_through_more_than_there_is_room_for_is_answered_as_far_as_there_is_room() {
    // All but the last of what there is room for can stay: 83.3 percent, less one part in the room.
    for (room, least) in [(10, 74.0), (1000, 81.5)] {
        let trace: Vec<_> = (0..REQUESTS).map(|at| at % (room * 6 / 5)).collect();
        let (ours, lru) = (ours(room, &trace, |_| 1), lru(room, &trace, |_| 1));
        assert!(lru < 0.01 && ours > least, "{ours}, {lru}");
    }
}

/// LRU is the best that can be had here, and it needs the order of hits, of which there is only a bit.
#[test]
fn where_only_the_last_used_are_used_again_it_is_lru_within_one_percent() {
    for room in [30, 300] {
        let (mut random, mut fresh) = (Random(5), 0);
        let trace: Vec<_> = (0..REQUESTS)
            .map(|_| {
                fresh += u64::from(random.word() % 8 == 0);
                fresh - fresh.min(random.word() % (room * 5 / 4))
            })
            .collect();
        let (ours, lru) = (ours(room, &trace, |_| 1), lru(room, &trace, |_| 1));
        assert!(ours > lru * 0.99, "{ours}, {lru}");
    }
}

#[test]
fn modules_of_different_weights_are_no_worse_off_than_with_lru() {
    for skew in [0.6, 1.0] {
        let weight = |n: u64| 1 << (n * 7 % 5);
        let trace = Zipf::new(skew).trace(|n, at| n + at / (REQUESTS / 3) * 100);
        let (ours, lru) = (ours(1000, &trace, weight), lru(1000, &trace, weight));
        assert!(ours > lru, "{ours}, {lru}");
    }
}
