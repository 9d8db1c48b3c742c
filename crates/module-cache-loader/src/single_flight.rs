//! The loads in flight, at most one for each module.

use std::collections::HashMap;
use std::sync::Arc;

use module_cache_core::ModuleHash;
use parking_lot::Mutex;

use crate::LoadError;
use crate::in_flight::{InFlight, Outcome, Turn};

/// The loads in flight of one loader.
pub(crate) struct SingleFlight<M>(Mutex<HashMap<ModuleHash, Arc<InFlight<M>>>>);

/// A load that its holder has joined.
pub(crate) struct Joined<M> {
    loads: Arc<SingleFlight<M>>,
    pub(crate) in_flight: Arc<InFlight<M>>,
    pub(crate) hash: ModuleHash,
    /// Whether the holder began it.
    pub(crate) first: bool,
}

impl<M> SingleFlight<M> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Joins the load of this module, or begins one.
    pub(crate) fn join(self: &Arc<Self>, hash: ModuleHash) -> Joined<M>
    where
        M: Clone,
    {
        let mut loads = self.0.lock();
        let mut first = false;
        let in_flight = loads.entry(hash).or_insert_with(|| {
            first = true;
            Arc::new(InFlight::new())
        });
        Joined {
            loads: Arc::clone(self),
            in_flight: Arc::clone(in_flight),
            hash,
            first,
        }
    }

    /// The outcome of a load that others can still join.
    pub(crate) fn outcome(&self, hash: ModuleHash) -> Option<Outcome<M>>
    where
        M: Clone,
    {
        let in_flight = self.0.lock().get(&hash).map(Arc::clone)?;
        // Cloning a module is other people's code.
        in_flight.outcome().cloned()
    }

    /// Lets nobody join this load any more.
    fn close(&self, hash: ModuleHash, in_flight: &Arc<InFlight<M>>) {
        let mut loads = self.0.lock();
        if let Some(current) = loads.get(&hash) {
            if Arc::ptr_eq(current, in_flight) {
                loads.remove(&hash);
            }
        }
    }
}

impl<M: Clone> Joined<M> {
    /// Waits until this thread is to lead the load, or gets its outcome.
    pub(crate) fn lead_or_wait(self) -> Result<Lead<M>, Outcome<M>> {
        match self.in_flight.wait_for_turn() {
            Turn::Lead => Ok(Lead::of(self)),
            Turn::Done(outcome) => Err(outcome),
            Turn::Recursive | Turn::Wait => Err(Err(LoadError::Recursive(self.hash))),
        }
    }

    #[cfg(feature = "tokio")]
    fn again(&self) -> Self {
        Self {
            loads: Arc::clone(&self.loads),
            in_flight: Arc::clone(&self.in_flight),
            hash: self.hash,
            first: false,
        }
    }

    fn close(&self) {
        self.loads.close(self.hash, &self.in_flight);
    }
}

/// The lead of a load, on this thread. Dropped, it has completed the load, and the next load of this module begins
/// another.
pub(crate) struct Lead<M: Clone> {
    joined: Joined<M>,
    given_up: bool,
}

impl<M: Clone> Lead<M> {
    fn of(joined: Joined<M>) -> Self {
        Self {
            joined,
            given_up: false,
        }
    }

    pub(crate) fn hash(&self) -> ModuleHash {
        self.joined.hash
    }

    /// Hands the outcome to everybody who joined, and a module also to those who ask before it is saved. An error is
    /// for nobody else: those who ask afterwards try again.
    pub(crate) fn complete(&self, outcome: Outcome<M>) {
        if outcome.is_err() {
            self.joined.close();
        }
        self.joined.in_flight.complete(outcome);
    }

    /// What it was completed with.
    pub(crate) fn outcome(&self) -> Option<&Outcome<M>> {
        self.joined.in_flight.outcome()
    }

    /// Ends the lead and leaves the load without an outcome: a task goes on with it, or a thread that waits.
    #[cfg(feature = "tokio")]
    pub(crate) fn give_up(mut self) {
        self.given_up = true;
        self.joined.in_flight.give_up_lead();
    }
}

impl<M: Clone> Drop for Lead<M> {
    fn drop(&mut self) {
        if !self.given_up {
            self.joined.close();
            let abandoned = Err(LoadError::Abandoned(self.joined.hash));
            self.joined.in_flight.complete(abandoned);
        }
    }
}

/// A load that tasks lead, on one thread after the other. Dropped, it leaves behind a load that has an outcome, or that
/// a thread leads.
#[cfg(feature = "tokio")]
pub(crate) struct LedByTasks<M: Clone>(Joined<M>);

#[cfg(feature = "tokio")]
impl<M: Clone> LedByTasks<M> {
    pub(crate) fn new(joined: Joined<M>) -> Self {
        Self(joined)
    }

    pub(crate) fn again(&self) -> Self {
        Self(self.0.again())
    }

    pub(crate) fn hash(&self) -> ModuleHash {
        self.0.hash
    }

    pub(crate) fn in_flight(&self) -> &Arc<InFlight<M>> {
        &self.0.in_flight
    }

    /// Leads the load on this thread, unless another one does or it is completed.
    pub(crate) fn lead_here(&self) -> Option<Lead<M>> {
        let turn = self.0.in_flight.turn_now();
        matches!(turn, Turn::Lead).then(|| Lead::of(self.0.again()))
    }

    pub(crate) async fn until_completed(self) {
        self.0.in_flight.completion().await;
    }
}

#[cfg(feature = "tokio")]
impl<M: Clone> Drop for LedByTasks<M> {
    fn drop(&mut self) {
        let abandoned = Err(LoadError::Abandoned(self.0.hash));
        let Self(joined) = self;
        let close = || joined.close();
        joined.in_flight.complete_if_not_led(abandoned, close);
    }
}
