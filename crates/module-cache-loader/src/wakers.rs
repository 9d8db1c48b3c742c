//! The wakers of tasks that wait for one thing.

use std::collections::HashMap;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// By numbers that the tasks keep. Wakers are other people's code: they are cloned, dropped and woken while the lock that this
/// is behind is free.
#[derive(Default)]
pub(crate) struct Wakers {
    by_number: HashMap<u64, Waker>,
    newest: u64,
}

impl Wakers {
    /// Puts a waker in the place of the one with this number, or in one of its own, and returns the number and what was there.
    pub(crate) fn put(&mut self, number: Option<u64>, waker: Waker) -> (u64, Option<Waker>) {
        let number = number.unwrap_or_else(|| {
            self.newest += 1;
            self.newest
        });
        (number, self.by_number.insert(number, waker))
    }

    pub(crate) fn remove(&mut self, number: u64) -> Option<Waker> {
        self.by_number.remove(&number)
    }

    /// Takes those that are there. Numbers are not given out again.
    pub(crate) fn take(&mut self) -> Taken {
        Taken(mem::take(&mut self.by_number))
    }
}

/// Wakers that are to be woken.
pub(crate) struct Taken(HashMap<u64, Waker>);

impl Taken {
    /// Wakes all, whichever panics.
    pub(crate) fn wake(self) {
        for waker in self.0.into_values() {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
