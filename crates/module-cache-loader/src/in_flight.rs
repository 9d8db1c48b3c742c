//! One load that is in flight: who leads it, and what everybody who joined it gets.

#[cfg(feature = "tokio")]
use std::pin::Pin;
use std::sync::OnceLock;
#[cfg(feature = "tokio")]
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};

use parking_lot::{Condvar, Mutex, MutexGuard};

use module_cache_core::FoundModule;

use crate::wakers::Wakers;
use crate::{LoadError, Source};

/// What a load ends with.
pub(crate) type Outcome<M> = Result<(FoundModule<M>, Source), LoadError>;

/// A load that any number of threads and tasks have joined. It is completed once, with an outcome that each of them
/// gets a clone of.
///
/// At most one thread leads it at a time. A load without a leader, as while a task fetches the wasm, is led by the
/// first thread that would have to wait for it: so no number of waiting threads keeps a load from its thread.
pub(crate) struct InFlight<M> {
    outcome: OnceLock<Outcome<M>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    leader: Option<ThreadId>,
    /// Of tasks that wait.
    wakers: Wakers,
}

/// What a thread does that has joined a load.
pub(crate) enum Turn<M> {
    /// It leads: the load has no outcome yet, and had no leader.
    Lead,
    /// It is the leader, and would wait for itself.
    Recursive,
    Done(Outcome<M>),
    /// Another thread leads.
    Wait,
}

impl<M: Clone> InFlight<M> {
    pub(crate) fn new() -> Self {
        Self {
            outcome: OnceLock::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Waits until it is this thread's turn, or the load is completed.
    pub(crate) fn wait_for_turn(&self) -> Turn<M> {
        self.turn(|state| {
            // Without threads, nobody but the leader can be here.
            if cfg!(target_family = "wasm") {
                return false;
            }
            self.changed.wait(state);
            true
        })
    }

    /// The same, without waiting.
    #[cfg(feature = "tokio")]
    pub(crate) fn turn_now(&self) -> Turn<M> {
        self.turn(|_| false)
    }

    /// Whose turn it is, asked again as long as `wait` waits. Whoever is told to lead does so until
    /// [`give_up_lead`](Self::give_up_lead).
    fn turn(&self, wait: impl Fn(&mut MutexGuard<'_, State>) -> bool) -> Turn<M> {
        let this_thread = thread::current().id();
        let mut state = self.state.lock();
        loop {
            if let Some(outcome) = self.outcome.get() {
                // Cloning a module is other people's code.
                drop(state);
                return Turn::Done(outcome.clone());
            }
            let leader = state.leader;
            if leader.is_none() {
                state.leader = Some(this_thread);
                return Turn::Lead;
            }
            if leader == Some(this_thread) {
                return Turn::Recursive;
            }
            if !wait(&mut state) {
                return Turn::Wait;
            }
        }
    }

    /// Whether this thread leads the load, somewhere below in its stack.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_led_here(&self) -> bool {
        self.state.lock().leader == Some(thread::current().id())
    }

    /// Lets another thread lead.
    #[cfg(feature = "tokio")]
    pub(crate) fn give_up_lead(&self) {
        self.state.lock().leader = None;
        self.changed.notify_all();
    }

    /// Hands the outcome to everybody who joined or will. Only the first one counts.
    pub(crate) fn complete(&self, outcome: Outcome<M>) {
        let rejected = self.outcome.set(outcome);
        self.announce(self.state.lock());
        drop(rejected);
    }

    /// Completes the load, after `close`, if nobody leads it and it has no outcome.
    #[cfg(feature = "tokio")]
    pub(crate) fn complete_if_not_led(&self, outcome: Outcome<M>, close: impl FnOnce()) {
        let state = self.state.lock();
        if state.leader.is_some() || self.outcome.get().is_some() {
            return;
        }
        close();
        let _ = self.outcome.set(outcome);
        self.announce(state);
    }

    pub(crate) fn outcome(&self) -> Option<&Outcome<M>> {
        self.outcome.get()
    }

    /// Wakes everybody who waits, while nothing is locked: a waker may drop its task, poll it, or panic.
    fn announce(&self, mut state: MutexGuard<'_, State>) {
        let wakers = state.wakers.take();
        drop(state);
        self.changed.notify_all();
        wakers.wake();
    }

    /// Waits for the outcome without a thread.
    #[cfg(feature = "tokio")]
    pub(crate) async fn completed(&self) -> Outcome<M> {
        self.completion().await.clone()
    }

    /// The same, without a clone of the outcome.
    #[cfg(feature = "tokio")]
    pub(crate) fn completion(&self) -> Completion<'_, M> {
        Completion {
            in_flight: self,
            waker: None,
        }
    }
}

/// Waits for the outcome. Dropped, it leaves nothing behind.
#[cfg(feature = "tokio")]
pub(crate) struct Completion<'a, M> {
    in_flight: &'a InFlight<M>,
    /// The number of this one's waker.
    waker: Option<u64>,
}

#[cfg(feature = "tokio")]
impl<'a, M> Future for Completion<'a, M> {
    type Output = &'a Outcome<M>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let in_flight = self.in_flight;
        // Outside of the lock, like the drop of the one before.
        let waker = context.waker().clone();
        let mut state = in_flight.state.lock();
        if let Some(outcome) = in_flight.outcome.get() {
            return Poll::Ready(outcome);
        }
        let (number, before) = state.wakers.put(self.waker, waker);
        drop(state);
        self.waker = Some(number);
        drop(before);
        Poll::Pending
    }
}

#[cfg(feature = "tokio")]
impl<M> Drop for Completion<'_, M> {
    fn drop(&mut self) {
        if let Some(number) = self.waker {
            let waker = self.in_flight.state.lock().wakers.remove(number);
            drop(waker);
        }
    }
}
