//! Slots and counters per thread, for caches and loaders whose hits on different cores must not write to one cache line.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

/// The slot of the calling thread. It cannot be sent to another thread.
///
/// Up to [`EXCLUSIVE`](Self::EXCLUSIVE) running threads have a slot to themselves. The others share one more, until a slot
/// becomes free. Each thread takes a slot once; reading it takes a nanosecond.
#[derive(Debug, Clone, Copy)]
pub struct ThreadSlot {
    index: usize,
    of_this_thread: PhantomData<*const ()>,
}

impl ThreadSlot {
    /// The number of threads that can have a slot to themselves.
    pub const EXCLUSIVE: usize = u64::BITS as usize;

    /// The number of slots, including the shared one.
    pub const COUNT: usize = Self::EXCLUSIVE + 1;

    /// This thread's slot.
    #[inline]
    pub fn current() -> Self {
        let known = INDEX.get();
        Self {
            index: if known == UNKNOWN { take() } else { known },
            of_this_thread: PhantomData,
        }
    }

    /// The slot that threads share for which no other is left.
    pub fn shared() -> Self {
        Self {
            index: SHARED,
            of_this_thread: PhantomData,
        }
    }

    /// Its index, below [`COUNT`](Self::COUNT).
    #[inline]
    pub fn index(self) -> usize {
        self.index
    }

    /// Its index, below [`EXCLUSIVE`](Self::EXCLUSIVE), if no other thread has it.
    #[inline]
    pub fn exclusive(self) -> Option<usize> {
        (self.index < Self::EXCLUSIVE).then_some(self.index)
    }
}

const SHARED: usize = ThreadSlot::EXCLUSIVE;

thread_local! {
    /// Apart from what frees the slot, because this has no destructor, which every use would have to check.
    static INDEX: Cell<usize> = const { Cell::new(UNKNOWN) };
}

const UNKNOWN: usize = usize::MAX;

/// Takes a slot for this thread, if one is free. Else the next call tries again.
#[cold]
fn take() -> usize {
    thread_local!(static MINE: Taken = const { Taken(Cell::new(SHARED)) });
    let taken = MINE.try_with(|taken| {
        taken.0.set(lowest_free());
        taken.0.get()
    });
    // A thread that is ending has given its slot back.
    let index = taken.unwrap_or(SHARED);
    if index != SHARED {
        INDEX.set(index);
    }
    index
}

/// A slot that is taken until its thread ends.
struct Taken(Cell<usize>);

/// A bit for each exclusive slot.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes the lowest that is free, so that few threads have low indices.
fn lowest_free() -> usize {
    let lowest = |taken: u64| taken.trailing_ones();
    TAKEN
        .fetch_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
            Some(taken | 1_u64.checked_shl(lowest(taken))?)
        })
        .map_or(SHARED, |taken| lowest(taken) as usize)
}

impl Drop for Taken {
    fn drop(&mut self) {
        INDEX.set(SHARED);
        if self.0.get() != SHARED {
            TAKEN.fetch_and(!(1 << self.0.get()), Ordering::Release);
        }
    }
}

/// A counter on which threads do not wait for each other. It is exact, and needs no locked instruction in a thread that has
/// a slot to itself. Its size is 8 KiB.
///
/// ```
/// use module_cache_core::per_thread::{ThreadCounter, ThreadSlot};
///
/// let counter = ThreadCounter::new();
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| counter.add_one(ThreadSlot::current()));
///     }
/// });
/// assert_eq!(counter.sum(), 2);
/// ```
#[derive(Debug)]
pub struct ThreadCounter([Padded; ThreadSlot::COUNT]);

/// Two cache lines of 64 bytes, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl ThreadCounter {
    /// A counter at zero.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Padded::default()))
    }

    /// Adds one, as the thread whose slot this is.
    #[inline]
    pub fn add_one(&self, slot: ThreadSlot) {
        let count = &self.0[slot.index()].0;
        if slot.exclusive().is_some() {
            // No other thread writes here.
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        } else {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The sum of all threads' counts.
    pub fn sum(&self) -> u64 {
        let counts = self.0.iter();
        counts.map(|count| count.0.load(Ordering::Relaxed)).sum()
    }
}

impl Default for ThreadCounter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::{Barrier, Mutex};
    use std::thread;

    use super::*;

    /// Each of these takes all slots.
    static ALONE: Mutex<()> = Mutex::new(());

    const MANY: usize = 2 * ThreadSlot::EXCLUSIVE;

    #[test]
    fn threads_that_run_have_slots_of_their_own_until_none_is_left() {
        let _alone = ALONE.lock().unwrap();
        let all_there = Barrier::new(MANY);
        let slots: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..MANY)
                .map(|_| {
                    scope.spawn(|| {
                        let slot = ThreadSlot::current().exclusive();
                        all_there.wait();
                        assert_eq!(ThreadSlot::current().exclusive(), slot);
                        all_there.wait();
                        slot
                    })
                })
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(slots.iter().collect::<HashSet<_>>().len(), slots.len());
        assert!(slots.len() > ThreadSlot::EXCLUSIVE / 2);
    }

    #[test]
    fn a_thread_that_came_when_no_slot_was_left_gets_one_that_becomes_free() {
        let _alone = ALONE.lock().unwrap();
        let (all_there, others_end) = (Barrier::new(MANY + 1), Barrier::new(MANY + 1));
        thread::scope(|scope| {
            let others: Vec<_> = (0..MANY)
                .map(|_| {
                    scope.spawn(|| {
                        ThreadSlot::current();
                        all_there.wait();
                        others_end.wait();
                    })
                })
                .collect();
            all_there.wait();
            let late = scope.spawn(|| {
                assert_eq!(ThreadSlot::current().exclusive(), None);
                others_end.wait();
                for other in others {
                    other.join().unwrap();
                }
                ThreadSlot::current().exclusive()
            });
            assert!(late.join().unwrap().is_some());
        });
    }

    #[test]
    fn no_count_of_any_thread_is_lost() {
        let _alone = ALONE.lock().unwrap();
        let counter = ThreadCounter::new();
        thread::scope(|scope| {
            for _ in 0..MANY {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counter.add_one(ThreadSlot::current());
                    }
                });
            }
        });
        assert_eq!(counter.sum(), 100 * MANY as u64);
    }
}
