//! One load under way, for which any number of threads and tasks wait.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

#[cfg(not(target_family = "wasm"))]
use event_listener::Listener;
use event_listener::{Event, EventListener};
use parking_lot::Mutex;

use crate::{LoadError, Source};

/// What a flight brings.
pub(crate) type Outcome<M> = Result<(M, Source), LoadError>;

/// A load that somebody leads. It lands once, with an outcome that everybody gets a clone of.
///
/// A task that waits holds no thread, and leaves nothing behind when it is dropped.
pub(crate) struct Flight<M> {
    outcome: OnceLock<Outcome<M>>,
    landed: Event,
    /// The thread that works for this flight, while one does.
    leader: Mutex<Option<ThreadId>>,
}

impl<M: Clone> Flight<M> {
    pub(crate) fn new() -> Self {
        Self {
            outcome: OnceLock::new(),
            landed: Event::new(),
            leader: Mutex::new(None),
        }
    }

    /// Hands the outcome to everybody who waits or will. Only the first one counts.
    pub(crate) fn land(&self, outcome: Outcome<M>) {
        if self.outcome.set(outcome).is_ok() {
            self.landed.notify(usize::MAX);
        }
    }

    /// Does a part of the leader's work on this thread, and catches its panic.
    pub(crate) fn lead_here<T>(&self, work: impl FnOnce() -> T) -> thread::Result<T> {
        *self.leader.lock() = Some(thread::current().id());
        let done = catch_unwind(AssertUnwindSafe(work));
        *self.leader.lock() = None;
        done
    }

    /// Blocks until there is an outcome. `None` for the leader, before there is one: it would wait for
    /// itself.
    pub(crate) fn wait(&self) -> Option<Outcome<M>> {
        match self.outcome_or_listener() {
            ControlFlow::Break(outcome) => outcome,
            // Without threads, nobody but the leader can be here.
            #[cfg(target_family = "wasm")]
            ControlFlow::Continue(_) => None,
            #[cfg(not(target_family = "wasm"))]
            ControlFlow::Continue(landing) => {
                landing.wait();
                self.outcome.get().cloned()
            }
        }
    }

    /// As [`wait`](Self::wait), and holds no thread.
    #[cfg(feature = "tokio")]
    pub(crate) async fn landed(&self) -> Option<Outcome<M>> {
        match self.outcome_or_listener() {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(landing) => {
                landing.await;
                self.outcome.get().cloned()
            }
        }
    }

    /// What a wait ends with at once, or what tells of the landing.
    fn outcome_or_listener(&self) -> ControlFlow<Option<Outcome<M>>, EventListener> {
        if *self.leader.lock() == Some(thread::current().id()) {
            return ControlFlow::Break(self.outcome.get().cloned());
        }
        // Listening comes first, or the flight could land between the look and the wait.
        let landing = self.landed.listen();
        match self.outcome.get() {
            Some(outcome) => ControlFlow::Break(Some(outcome.clone())),
            None => ControlFlow::Continue(landing),
        }
    }
}
