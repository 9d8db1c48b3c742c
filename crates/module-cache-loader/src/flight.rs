//! One load under way, for which any number of threads wait.

use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex};

use crate::{LoadError, Source};

/// What a flight brings.
pub(crate) type Outcome<M> = Result<(M, Source), LoadError>;

/// A load that one thread leads. It lands once, with an outcome that everybody gets a clone of.
pub(crate) struct Flight<M> {
    leader: ThreadId,
    outcome: Mutex<Option<Outcome<M>>>,
    landed: Condvar,
}

impl<M: Clone> Flight<M> {
    /// A flight led by this thread.
    pub(crate) fn new() -> Self {
        Self {
            leader: thread::current().id(),
            outcome: Mutex::new(None),
            landed: Condvar::new(),
        }
    }

    /// Hands the outcome to everybody who waits or will.
    pub(crate) fn land(&self, outcome: Outcome<M>) {
        *self.outcome.lock() = Some(outcome);
        self.landed.notify_all();
    }

    /// Waits for the outcome. `None` for the leader, before there is one: it would wait for itself.
    pub(crate) fn wait(&self) -> Option<Outcome<M>> {
        let mut outcome = self.outcome.lock();
        if outcome.is_none() && self.leader == thread::current().id() {
            return None;
        }
        self.landed
            .wait_while(&mut outcome, |outcome| outcome.is_none());
        outcome.clone()
    }
}
