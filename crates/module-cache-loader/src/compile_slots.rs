//! How many modules are compiled at a time, and which go first.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use web_time::Instant;

/// A semaphore that serves first those who came first; behind them, it serves those whom nobody waits for.
#[derive(Debug)]
pub(crate) struct CompileSlots {
    /// 0 until it is set or the first slot is taken.
    count: AtomicUsize,
    queue: Mutex<Queue>,
    freed: Condvar,
}

/// Who wants a slot.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// Somebody who waits for the module.
    Front,
    /// The same, for whom it is not compiled if there is something better by then. A panic of the engine is its answer.
    FrontUnless(&'a dyn Fn() -> bool),
    Behind(Behind),
}

/// Somebody who has something to go on with meanwhile: served when nobody is in front, `most` at a time. From `until` on, it
/// stands in front with all others, and lets its turn pass if those behind are not served then.
#[derive(Clone, Copy)]
pub(crate) struct Behind {
    pub(crate) most: NonZeroUsize,
    pub(crate) until: Option<Instant>,
}

/// Each who comes takes the next number, and has a slot once all but `count` of those before are done.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    done: u64,
    /// How many behind have a slot.
    behind: usize,
    behind_is: BehindIs,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum BehindIs {
    #[default]
    Open,
    Paused,
    /// For good.
    Closed,
}

impl CompileSlots {
    pub(crate) fn new(count: NonZeroUsize) -> Self {
        let slots = Self::one_per_core();
        slots.set_count(count);
        slots
    }

    /// Before the first slot is taken.
    pub(crate) fn set_count(&self, count: NonZeroUsize) {
        self.count.store(count.get(), Ordering::Relaxed);
    }

    /// How many cores there are is found out when the first slot is taken: to ask takes longer than to load a
    /// stored module.
    pub(crate) fn one_per_core() -> Self {
        Self {
            count: AtomicUsize::new(0),
            queue: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a slot and holds it until the guard is dropped. `None` if nobody behind is served any more.
    pub(crate) fn take(&self, place: Place<'_>) -> Option<Slot<'_>> {
        let Place::Behind(Behind { most, until }) = place else {
            return Some(self.take_in_front().0);
        };
        loop {
            if self.wait_behind(most, until)? {
                return Some(Slot {
                    slots: self,
                    is_behind: true,
                });
            }
            if let (slot, BehindIs::Open) = self.take_in_front() {
                return Some(slot);
            }
        }
    }

    /// A slot, and how it stands with those behind when its turn has come.
    fn take_in_front(&self) -> (Slot<'_>, BehindIs) {
        let count = self.count() as u64;
        let mut queue = self.queue.lock();
        let number = queue.next;
        queue.next += 1;
        self.freed
            .wait_while(&mut queue, |queue| number >= queue.done + count);
        let slot = Slot {
            slots: self,
            is_behind: false,
        };
        (slot, queue.behind_is)
    }

    fn count(&self) -> usize {
        match self.count.load(Ordering::Relaxed) {
            0 => {
                let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
                self.set_count(cores);
                cores.get()
            }
            count => count,
        }
    }

    /// Serves nobody behind until they are resumed.
    pub(crate) fn pause_behind(&self) {
        self.set_behind(BehindIs::Paused);
    }

    pub(crate) fn resume_behind(&self) {
        self.set_behind(BehindIs::Open);
    }

    /// Sends everybody away who waits behind.
    pub(crate) fn close_behind(&self) {
        self.set_behind(BehindIs::Closed);
    }

    fn set_behind(&self, is: BehindIs) {
        self.queue.lock().behind_is = is;
        self.freed.notify_all();
    }

    /// Whether there is a slot behind; not so from `until` on.
    fn wait_behind(&self, most: NonZeroUsize, until: Option<Instant>) -> Option<bool> {
        let mut queue = self.queue.lock();
        loop {
            if queue.behind_is == BehindIs::Closed {
                return None;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if queue.behind_is == BehindIs::Open {
                if queue.next == queue.done && queue.behind < most.get() {
                    queue.behind += 1;
                    return Some(true);
                }
                if left == Some(Duration::ZERO) {
                    return Some(false);
                }
            }
            match left {
                Some(left) if !left.is_zero() => drop(self.freed.wait_for(&mut queue, left)),
                _ => self.freed.wait(&mut queue),
            }
        }
    }
}

pub(crate) struct Slot<'a> {
    slots: &'a CompileSlots,
    pub(crate) is_behind: bool,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut queue = self.slots.queue.lock();
        if self.is_behind {
            queue.behind -= 1;
        } else {
            queue.done += 1;
        }
        drop(queue);
        // All of them, because the one whose turn it is cannot be woken alone.
        self.slots.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn whoever_frees_a_slot_gets_it_again_only_after_those_who_wait() {
        let slots = CompileSlots::new(NonZeroUsize::MIN);
        let served = AtomicBool::new(false);
        thread::scope(|scope| {
            let slot = slots.take(Place::Front);
            scope.spawn(|| {
                let _slot = slots.take(Place::Front);
                served.store(true, Ordering::SeqCst);
            });
            while slots.queue.lock().next < 2 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(slot);
            let _slot = slots.take(Place::Front);
            assert!(served.load(Ordering::SeqCst));
        });
    }

    /// Behind, for as long as it takes.
    fn behind(most: usize) -> Behind {
        let most = NonZeroUsize::new(most).unwrap();
        Behind { most, until: None }
    }

    #[test]
    fn those_behind_wait_for_all_in_front_and_for_one_another() {
        let slots = CompileSlots::new(NonZeroUsize::new(8).unwrap());
        let served = AtomicBool::new(false);
        let (front, first) = (slots.take(Place::Front), behind(2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let _slots = [
                    slots.take(Place::Behind(first)),
                    slots.take(Place::Behind(first)),
                ];
                served.store(true, Ordering::SeqCst);
            });
            thread::sleep(Duration::from_millis(50));
            assert!(!served.load(Ordering::SeqCst));
            drop(front);
        });
        assert!(served.load(Ordering::SeqCst));
        let _behind = slots.take(Place::Behind(behind(1)));
        // Nobody behind keeps those in front waiting.
        let _front = slots.take(Place::Front);
        slots.close_behind();
        assert!(slots.take(Place::Behind(behind(2))).is_none());
    }

    #[test]
    fn whoever_was_behind_for_too_long_comes_to_the_front_unless_paused() {
        let slots = CompileSlots::new(NonZeroUsize::new(2).unwrap());
        let place = Behind {
            most: NonZeroUsize::MIN,
            until: Some(Instant::now()),
        };
        let _front = slots.take(Place::Front);
        let served = AtomicBool::new(false);
        slots.pause_behind();
        thread::scope(|scope| {
            scope.spawn(|| {
                let slot = slots.take(Place::Behind(place)).unwrap();
                assert!(!slot.is_behind);
                served.store(true, Ordering::SeqCst);
            });
            thread::sleep(Duration::from_millis(50));
            assert!(!served.load(Ordering::SeqCst));
            slots.resume_behind();
        });
        assert!(served.load(Ordering::SeqCst));
    }
}
