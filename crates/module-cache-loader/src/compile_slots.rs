//! How many modules are compiled at a time.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// A semaphore that serves first those who came first.
#[derive(Debug)]
pub(crate) struct CompileSlots {
    count: OnceLock<NonZeroUsize>,
    queue: Mutex<Queue>,
    freed: Condvar,
}

/// Each who comes takes the next number, and has a slot once all but `count` of those before are done.
#[derive(Debug, Default)]
struct Queue {
    next: u64,
    done: u64,
}

impl CompileSlots {
    pub(crate) fn new(count: NonZeroUsize) -> Self {
        Self {
            count: count.into(),
            ..Self::one_per_core()
        }
    }

    /// How many cores there are is found out when the first slot is taken: to ask takes longer than to load a
    /// stored module.
    pub(crate) fn one_per_core() -> Self {
        Self {
            count: OnceLock::new(),
            queue: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    /// Waits for a slot and holds it until the guard is dropped.
    pub(crate) fn take(&self) -> Slot<'_> {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let count = self.count.get_or_init(cores).get() as u64;
        let mut queue = self.queue.lock();
        let number = queue.next;
        queue.next += 1;
        self.freed
            .wait_while(&mut queue, |queue| number >= queue.done + count);
        Slot(self)
    }
}

pub(crate) struct Slot<'a>(&'a CompileSlots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.queue.lock().done += 1;
        // All of them, because the one whose turn it is cannot be woken alone.
        self.0.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_frees_a_slot_gets_it_again_only_after_those_who_wait() {
        let slots = CompileSlots::new(NonZeroUsize::MIN);
        let served = AtomicBool::new(false);
        thread::scope(|scope| {
            let slot = slots.take();
            scope.spawn(|| {
                let _slot = slots.take();
                served.store(true, Ordering::SeqCst);
            });
            while slots.queue.lock().next < 2 {
                thread::sleep(Duration::from_millis(1));
            }
            drop(slot);
            let _slot = slots.take();
            assert!(served.load(Ordering::SeqCst));
        });
    }
}
