//! Counts hits and misses without making threads wait for each other.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::padded::Padded;

/// Hits and misses, spread so that threads seldom write to the same cache line: one counter for all would
/// cost more than the rest of a hit.
#[derive(Debug)]
pub(crate) struct LoadCounter([Padded<Stripe>; STRIPES]);

const STRIPES: usize = 64;

#[derive(Debug, Default)]
struct Stripe {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl LoadCounter {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Padded::default()))
    }

    #[inline]
    pub(crate) fn hit(&self) {
        self.stripe().hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn miss(&self) {
        self.stripe().misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn hits(&self) -> u64 {
        self.sum(|stripe| &stripe.hits)
    }

    pub(crate) fn misses(&self) -> u64 {
        self.sum(|stripe| &stripe.misses)
    }

    fn sum(&self, counter: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        let counts = self.0.iter().map(|stripe| counter(stripe));
        counts.map(|count| count.load(Ordering::Relaxed)).sum()
    }

    #[inline]
    fn stripe(&self) -> &Stripe {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static MINE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES);
        // It has no destructor, so it is there even while the thread ends.
        &self.0[MINE.with(|mine| *mine)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_of_any_thread_is_lost() {
        let counter = LoadCounter::new();
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counter.hit();
                        counter.miss();
                        counter.hit();
                    }
                });
            }
        });
        assert_eq!(counter.hits(), 200 * 2 * STRIPES as u64);
        assert_eq!(counter.misses(), 100 * 2 * STRIPES as u64);
    }
}
