//! Counts hits and misses without making threads wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::padded::Padded;
use crate::thread_lane::{EXCLUSIVE_LANES, SHARED_LANE};

/// Hits and misses by lane. One counter for all threads would cost more than the rest of a hit, and a
/// lane of one thread is counted without a locked instruction.
#[derive(Debug)]
pub(crate) struct LoadCounter([Padded<Counts>; EXCLUSIVE_LANES + 1]);

#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl LoadCounter {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Padded::default()))
    }

    /// Counts a hit of the thread whose lane this is.
    #[inline]
    pub(crate) fn hit(&self, lane: usize) {
        add_one(&self.0[lane].hits, lane);
    }

    /// Counts a miss of the thread whose lane this is.
    pub(crate) fn miss(&self, lane: usize) {
        add_one(&self.0[lane].misses, lane);
    }

    pub(crate) fn hits(&self) -> u64 {
        self.sum(|counts| &counts.hits)
    }

    pub(crate) fn misses(&self) -> u64 {
        self.sum(|counts| &counts.misses)
    }

    fn sum(&self, counter: impl Fn(&Counts) -> &AtomicU64) -> u64 {
        let counts = self.0.iter().map(|counts| counter(counts));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

#[inline]
fn add_one(count: &AtomicU64, lane: usize) {
    if lane == SHARED_LANE {
        count.fetch_add(1, Ordering::Relaxed);
    } else {
        // Nobody else writes here.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::thread_lane::thread_lane;

    #[test]
    fn no_count_of_any_thread_is_lost() {
        let counter = LoadCounter::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * EXCLUSIVE_LANES {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counter.hit(thread_lane());
                        counter.miss(thread_lane());
                        counter.hit(thread_lane());
                    }
                });
            }
        });
        assert_eq!(counter.hits(), 200 * 2 * EXCLUSIVE_LANES as u64);
        assert_eq!(counter.misses(), 100 * 2 * EXCLUSIVE_LANES as u64);
    }
}
