//! How many modules are compiled at a time.

use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// A counting semaphore.
#[derive(Debug)]
pub(crate) struct CompileSlots {
    count: OnceLock<NonZeroUsize>,
    taken: Mutex<usize>,
    freed: Condvar,
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
            taken: Mutex::new(0),
            freed: Condvar::new(),
        }
    }

    /// Waits for a slot and holds it until the guard is dropped.
    pub(crate) fn take(&self) -> Slot<'_> {
        let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let count = self.count.get_or_init(cores).get();
        let mut taken = self.taken.lock();
        self.freed.wait_while(&mut taken, |taken| *taken >= count);
        *taken += 1;
        Slot(self)
    }
}

pub(crate) struct Slot<'a>(&'a CompileSlots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock() -= 1;
        self.0.freed.notify_one();
    }
}
