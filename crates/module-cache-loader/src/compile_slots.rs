//! How many modules are compiled at a time.

use std::num::NonZeroUsize;

use parking_lot::{Condvar, Mutex};

/// A counting semaphore.
#[derive(Debug)]
pub(crate) struct CompileSlots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl CompileSlots {
    pub(crate) fn new(count: NonZeroUsize) -> Self {
        Self {
            free: Mutex::new(count.get()),
            freed: Condvar::new(),
        }
    }

    /// Waits for a slot and holds it until the guard is dropped.
    pub(crate) fn take(&self) -> Slot<'_> {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free == 0);
        *free -= 1;
        Slot(self)
    }
}

pub(crate) struct Slot<'a>(&'a CompileSlots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}
