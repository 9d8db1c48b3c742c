//! The loads under way, at most one for each module, and who leads them.

use std::collections::HashMap;
use std::sync::Arc;

use module_cache_core::{EngineId, ModuleHash};
use parking_lot::Mutex;
use tracing::field::Empty;
use tracing::{Span, debug_span};

use crate::LoadError;
use crate::flight::{Flight, Outcome};

/// The flights of one loader.
pub(crate) struct Flights<M>(Mutex<HashMap<ModuleHash, Arc<Flight<M>>>>);

/// What somebody does who asks for a module that is not resident.
pub(crate) enum Boarding<M: Clone> {
    /// Nobody was loading it: load it.
    Lead(Lead<M>),
    /// Somebody is: wait.
    Wait(Arc<Flight<M>>),
}

impl<M: Clone> Flights<M> {
    pub(crate) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Joins the flight of this module, or starts one.
    pub(crate) fn board(self: &Arc<Self>, hash: ModuleHash, engine: &EngineId) -> Boarding<M> {
        let mut flights = self.0.lock();
        if let Some(flight) = flights.get(&hash) {
            return Boarding::Wait(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::new());
        flights.insert(hash, Arc::clone(&flight));
        drop(flights);
        let mut lead = Lead {
            flights: Arc::clone(self),
            flight,
            hash,
            span: Span::none(),
        };
        // A subscriber may panic; by now the flight would land all the same.
        lead.span = debug_span!("load_module", %hash, %engine, source = Empty);
        Boarding::Lead(lead)
    }
}

/// The duty to land a flight. It can move between threads. Dropped, it has landed the flight, and the next
/// load of this module starts another.
pub(crate) struct Lead<M: Clone> {
    flights: Arc<Flights<M>>,
    flight: Arc<Flight<M>>,
    hash: ModuleHash,
    /// Of the load, below the caller's.
    span: Span,
}

impl<M: Clone> Lead<M> {
    pub(crate) fn hash(&self) -> ModuleHash {
        self.hash
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    #[cfg(feature = "tokio")]
    pub(crate) fn flight(&self) -> &Arc<Flight<M>> {
        &self.flight
    }

    /// Does a part of the leader's work on this thread. A panic is an error of the load.
    pub(crate) fn work<T>(
        &self,
        work: impl FnOnce() -> Result<T, LoadError>,
    ) -> Result<T, LoadError> {
        self.flight
            .lead_here(|| self.span.in_scope(work))
            .unwrap_or_else(|panic| Err(LoadError::panicked(self.hash, &*panic)))
    }

    /// Hands the outcome to everybody who waits, and a module also to those who ask before it is saved. An
    /// error is for nobody else: who has it and asks again starts another flight.
    pub(crate) fn land(&self, outcome: Outcome<M>) {
        if outcome.is_err() {
            self.close();
        }
        self.flight.land(outcome);
    }

    /// Lets nobody board any more.
    fn close(&self) {
        let mut flights = self.flights.0.lock();
        let current = flights.get(&self.hash);
        if current.is_some_and(|current| Arc::ptr_eq(current, &self.flight)) {
            flights.remove(&self.hash);
        }
    }
}

impl<M: Clone> Drop for Lead<M> {
    fn drop(&mut self) {
        self.close();
        self.flight.land(Err(LoadError::Abandoned(self.hash)));
    }
}
