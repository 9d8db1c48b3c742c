//! The share of requests that `SharedCache` answers, on traces that are the same in every run, beside exact LRU.
//! Weights are those of compiled modules. Peers are measured in `module-cache-bench`.

mod support;

use std::collections::{BTreeMap, HashMap};

use module_cache_core::{ModuleCache, ModuleHash};
use module_cache_memory::SharedCache;
use support::{Plain, key};

const REQUESTS: u64 = 100_000;
const MODULES: u16 = 4_000;

/// Bytes that a cache has room for; the modules together weigh about 8 GB.
const ROOMS: [u64; 2] = [64_000_000, 1_000_000_000];

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

/// Requests for modules, the most popular of which are the lowest numbers.
struct Zipf {
    /// The share of requests that go to a module or to one more popular.
    shares: Vec<f64>,
    random: Random,
}

impl Zipf {
    fn new(skew: f64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<_> = (1..=MODULES)
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

/// The weight of a compiled module: from 10 KB to 50 MB, and for most about 700 KB.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive and far below 2^64"
)]
fn weight(n: u64) -> u64 {
    let mut random = Random(n);
    let middle = (random.fraction() + random.fraction() + random.fraction()) / 3.0;
    (10_000.0 * 5_000_f64.powf(middle)) as u64
}

/// The requests and the bytes that a cache answered, in percent.
#[derive(Default, Debug)]
struct Answered {
    requests: f64,
    bytes: f64,
}

fn replay(trace: &[u64], weight: fn(u64) -> u64, mut is_hit: impl FnMut(u64) -> bool) -> Answered {
    let (mut hits, mut bytes, mut total) = (0, 0, 0);
    for &n in trace {
        total += weight(n);
        if is_hit(n) {
            hits += 1;
            bytes += weight(n);
        }
    }
    Answered {
        requests: percent(hits, trace.len() as u64),
        bytes: percent(bytes, total),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a tenth of a percent is enough")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

fn ours(room: u64, trace: &[u64], weight: fn(u64) -> u64) -> Answered {
    let (cache, engine) = (SharedCache::with_max_weight(room), Plain::of_weights());
    let mut keys = HashMap::<u64, ModuleHash>::new();
    replay(trace, weight, |n| {
        let key = *keys.entry(n).or_insert_with(|| key(n));
        let hit = cache.load(key, &engine).unwrap().is_some();
        if !hit {
            let outcome = cache.save(key, &engine, &weight(n)).unwrap();
            assert!(outcome.is_stored());
        }
        hit
    })
}

fn lru(room: u64, trace: &[u64], weight: fn(u64) -> u64) -> Answered {
    let (mut order, mut used, mut held) = (BTreeMap::new(), HashMap::new(), 0);
    let mut now = 0_u64;
    replay(trace, weight, |n| {
        now += 1;
        let before = used.insert(n, now);
        match before {
            Some(before) => drop(order.remove(&before)),
            None => held += weight(n),
        }
        order.insert(now, n);
        while held > room {
            let (_, oldest) = order.pop_first().unwrap();
            used.remove(&oldest);
            held -= weight(oldest);
        }
        before.is_some()
    })
}

/// Asserts that `SharedCache` answers so many percent of requests more than LRU, for each room.
fn assert_ahead_of_lru(trace: &[u64], weight: fn(u64) -> u64, ahead: [f64; 2]) {
    for (room, ahead) in ROOMS.into_iter().zip(ahead) {
        let (ours, lru) = (ours(room, trace, weight), lru(room, trace, weight));
        assert!(ours.requests > lru.requests + ahead, "{ours:?}, {lru:?}");
    }
}

#[test]
fn where_popularity_stays_it_is_far_ahead_of_lru() {
    assert_ahead_of_lru(&Zipf::new(0.8).trace(|n, _| n), weight, [10.0, 20.0]);
    assert_ahead_of_lru(&Zipf::new(1.2).trace(|n, _| n), weight, [8.0, 5.0]);
}

#[test]
fn where_popularity_changes_it_is_far_ahead_of_lru() {
    let trace = Zipf::new(1.0).trace(|n, at| n + at / (REQUESTS / 10) * 400);
    assert_ahead_of_lru(&trace, weight, [10.0, 10.0]);
}

#[test]
fn modules_requested_only_once_do_not_displace_those_in_use() {
    let trace = Zipf::new(0.8).trace(|n, at| {
        let in_scan = at / 100 % 10 == 9;
        if in_scan { 1_000_000 + at } else { n }
    });
    assert_ahead_of_lru(&trace, weight, [10.0, 15.0]);
}

#[test]
fn a_loop_through_more_than_there_is_room_for_is_mostly_answered() {
    for room in ROOMS {
        let mut sum = 0;
        let fits = |n: &u64| {
            sum += weight(*n);
            sum < room / 5 * 6
        };
        let modules = (0..u64::from(MODULES)).take_while(fits).count() as u64;
        let trace: Vec<_> = (0..REQUESTS).map(|at| at % modules).collect();
        let (ours, lru) = (ours(room, &trace, weight), lru(room, &trace, weight));
        assert!(lru.requests < 0.01 && ours.requests > 80.0, "{ours:?}");
    }
}

/// LRU is the best that can be had where nearly all of those used last have room, as in the larger one.
#[test]
fn where_only_the_last_used_are_used_again_it_is_ahead_of_lru_or_not_far_behind() {
    let (mut random, mut fresh) = (Random(5), 0);
    let trace: Vec<_> = (0..REQUESTS)
        .map(|_| {
            fresh += u64::from(random.word() % 8 == 0);
            fresh - fresh.min(random.word() % 500)
        })
        .collect();
    assert_ahead_of_lru(&trace, weight, [10.0, -4.0]);
}

#[test]
fn where_the_popular_modules_are_the_heaviest_it_is_about_as_good_as_lru() {
    let trace = Zipf::new(1.0).trace(|n, _| n);
    assert_ahead_of_lru(&trace, |n| 50_000_000 / (1 + n), [-1.0, -1.0]);
}

#[test]
fn where_weights_are_equal_it_is_ahead_of_lru() {
    let trace = Zipf::new(1.0).trace(|n, at| n + at / (REQUESTS / 10) * 400);
    assert_ahead_of_lru(&trace, |_| 2_000_000, [4.0, 0.5]);
}

/// It favours light modules, so it answers more requests and not more bytes.
#[test]
fn where_popularity_stays_the_share_of_bytes_is_about_that_of_lru() {
    for skew in [0.8, 1.2] {
        let trace = Zipf::new(skew).trace(|n, _| n);
        for room in ROOMS {
            let (ours, lru) = (ours(room, &trace, weight), lru(room, &trace, weight));
            assert!(ours.bytes > lru.bytes - 4.0, "{ours:?}, {lru:?}");
        }
    }
}
