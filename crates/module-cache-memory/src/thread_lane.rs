//! A number for each thread, by which threads keep out of each other's cache lines.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many threads at a time have a lane to themselves. The rest share one more.
pub(crate) const EXCLUSIVE_LANES: usize = u64::BITS as usize;

/// The lane of threads for which no other was left, and of those that are ending.
const SHARED_LANE: usize = EXCLUSIVE_LANES;

/// The lane of this thread, for as long as it runs. Cannot be sent to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane {
    number: usize,
    of_this_thread: PhantomData<*const ()>,
}

impl Lane {
    /// This thread's lane.
    #[inline]
    pub(crate) fn current() -> Self {
        let known = NUMBER.get();
        Self {
            number: if known == UNKNOWN { first() } else { known },
            of_this_thread: PhantomData,
        }
    }

    /// The lane of a thread for which no other was left.
    #[cfg(test)]
    pub(crate) fn shared() -> Self {
        Self {
            number: SHARED_LANE,
            of_this_thread: PhantomData,
        }
    }

    /// Its number, at most [`EXCLUSIVE_LANES`].
    #[inline]
    pub(crate) fn number(self) -> usize {
        self.number
    }

    /// Its number if no other live thread has it: then what an earlier thread wrote there this one sees.
    #[inline]
    pub(crate) fn exclusive(self) -> Option<usize> {
        (self.number < EXCLUSIVE_LANES).then_some(self.number)
    }
}

thread_local! {
    /// Apart from what frees the lane, because this has no destructor, which every use would have to check.
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
}

const UNKNOWN: usize = usize::MAX;

/// Takes a lane for this thread.
#[cold]
fn first() -> usize {
    thread_local!(static MINE: Taken = Taken::lowest());
    let number = MINE.try_with(|taken| taken.0).unwrap_or(SHARED_LANE);
    NUMBER.set(number);
    number
}

/// A lane that is taken until its thread ends.
struct Taken(usize);

/// A bit for each exclusive lane.
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Taken {
    /// The lowest that is free, so that few threads have low numbers.
    fn lowest() -> Self {
        let lowest = |taken: u64| taken.trailing_ones();
        TAKEN
            .try_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
                Some(taken | 1_u64.checked_shl(lowest(taken))?)
            })
            .map_or(Self(SHARED_LANE), |taken| Self(lowest(taken) as usize))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        NUMBER.set(SHARED_LANE);
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
                        let lane = Lane::current().number();
                        all_there.wait();
                        assert_eq!(Lane::current().number(), lane);
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
