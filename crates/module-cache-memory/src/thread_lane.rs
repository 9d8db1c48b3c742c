//! A number for each thread, by which threads keep out of each other's cache lines.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many threads at a time have a lane to themselves. The rest share one more.
pub(crate) const EXCLUSIVE_LANES: usize = u64::BITS as usize;

/// The lane of threads for which no other was left, and of those that are ending.
pub(crate) const SHARED_LANE: usize = EXCLUSIVE_LANES;

/// This thread's lane: below [`EXCLUSIVE_LANES`] no other live thread has it, and what an earlier thread
/// wrote there this one sees.
#[inline]
pub(crate) fn thread_lane() -> usize {
    thread_local!(static MINE: Lane = Lane::take());
    MINE.try_with(|lane| lane.0).unwrap_or(SHARED_LANE)
}

struct Lane(usize);

/// A bit for each exclusive lane.
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Lane {
    /// The lowest that is free, so that few threads have low numbers.
    fn take() -> Self {
        let lowest = |taken: u64| taken.trailing_ones();
        TAKEN
            .try_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
                Some(taken | 1_u64.checked_shl(lowest(taken))?)
            })
            .map_or(Self(SHARED_LANE), |taken| Self(lowest(taken) as usize))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.0 < EXCLUSIVE_LANES {
            TAKEN.fetch_and(!(1 << self.0), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn live_threads_have_lanes_of_their_own_until_none_is_left() {
        let all_there = Barrier::new(2 * EXCLUSIVE_LANES);
        let lanes: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * EXCLUSIVE_LANES)
                .map(|_| {
                    scope.spawn(|| {
                        let lane = thread_lane();
                        all_there.wait();
                        assert_eq!(thread_lane(), lane);
                        lane
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        let exclusive: Vec<_> = lanes.iter().filter(|lane| **lane != SHARED_LANE).collect();
        assert_eq!(
            exclusive.iter().collect::<HashSet<_>>().len(),
            exclusive.len()
        );
        assert!(exclusive.len() > EXCLUSIVE_LANES / 2);
    }
}
