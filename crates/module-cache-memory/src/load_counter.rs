//! Counts hits and misses without making threads wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::padded::Padded;
use crate::thread_lane::{EXCLUSIVE_LANES, Lane};

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

    /// Counts a hit of this thread.
    #[inline]
    pub(crate) fn hit(&self, lane: Lane) {
        add_one(&self.0[lane.number()].hits, lane);
    }

    /// Counts a miss of this thread.
    pub(crate) fn miss(&self, lane: Lane) {
        add_one(&self.0[lane.number()].misses, lane);
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
fn add_one(count: &AtomicU64, lane: Lane) {
    if lane.exclusive().is_some() {
        // Nobody else writes here.
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    } else {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_of_any_thread_is_lost() {
        let counter = LoadCounter::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * EXCLUSIVE_LANES {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counter.hit(Lane::current());
                        counter.miss(Lane::current());
                        counter.hit(Lane::current());
                    }
                });
            }
        });
        assert_eq!(counter.hits(), 200 * 2 * EXCLUSIVE_LANES as u64);
        assert_eq!(counter.misses(), 100 * 2 * EXCLUSIVE_LANES as u64);
    }
}
