//! The loader: what is asked of it, and who leads or waits.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use module_cache_core::{Compile, HashedModule, ModuleCache, ModuleHash};
use tracing::{debug, debug_span};
use web_time::Instant;

use crate::compile_slots::CompileSlots;
use crate::flight::Outcome;
use crate::flights::{Boarding, Flights};
use crate::stats::{Counters, LoaderStats};
use crate::{LoadError, Loaded, Source};

/// Loads modules from a cache and compiles what it does not have, each once.
///
/// - **Once per process**: of those who ask for a module at a time, one leads and the others wait for its
///   outcome, be it a module or an error. Errors are not kept: the next load tries again.
/// - **Once per storage**: the leader asks the cache for
///   [leave to compile](ModuleCache::compile_permit), which a storage shared by processes gives to one at a
///   time, and looks again when it has it.
/// - **Module first, storage second**: waiters get the module as soon as it is compiled. Only the leader
///   stays until it is saved.
/// - **A broken cache costs time, not the load**: its errors are counted, logged (the first as a warning)
///   and never returned.
///
/// A resident hit takes no lock but the cache's own.
pub struct ModuleLoader<E: Compile, C> {
    pub(crate) engine: E,
    pub(crate) cache: C,
    flights: Arc<Flights<E::Module>>,
    pub(crate) slots: CompileSlots,
    pub(crate) counters: Counters,
}

impl<E: Compile, C: ModuleCache<E>> ModuleLoader<E, C> {
    /// A loader that compiles as many modules at a time as there are cores.
    ///
    /// With the feature `metrics`, it reports to the recorder that is installed now: install that first.
    pub fn new(engine: E, cache: C) -> Self {
        Self {
            engine,
            cache,
            flights: Arc::new(Flights::new()),
            slots: CompileSlots::one_per_core(),
            counters: Counters::default(),
        }
    }

    /// Limits how many modules are compiled at a time.
    #[must_use]
    pub fn with_max_compiles(mut self, count: NonZeroUsize) -> Self {
        self.slots = CompileSlots::new(count);
        self
    }

    /// Loads a module whose wasm is at hand.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be compiled.
    pub fn load(&self, module: &HashedModule<'_>) -> Result<Loaded<E::Module>, LoadError> {
        self.load_with(module.hash(), || Ok::<_, Infallible>(module.wasm()))
    }

    /// Loads a module by its hash, and calls `fetch` for the wasm only if it must be compiled.
    ///
    /// The caller answers for `fetch` returning the wasm of that hash.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be fetched or compiled. Who waited gets the error of the
    /// load it waited for.
    pub fn load_with<W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Result<Loaded<E::Module>, LoadError>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let started = Instant::now();
        if let Some(loaded) = self.resident(started, hash) {
            return Ok(loaded);
        }
        let outcome = match self.board(hash) {
            Boarding::Lead(lead) => self.lead(lead, || debug_span!("fetch").in_scope(fetch)),
            Boarding::Wait(flight) => flight.wait().unwrap_or(Err(LoadError::Recursive(hash))),
        };
        self.answer(started, outcome)
    }

    /// The engine that modules are compiled by and belong to.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// The cache that modules are looked up in.
    pub fn cache(&self) -> &C {
        &self.cache
    }

    /// What this loader has done so far.
    pub fn stats(&self) -> LoaderStats {
        self.counters.snapshot()
    }

    /// The hot path: no lock but the cache's, no span, and nothing is allocated.
    pub(crate) fn resident(&self, started: Instant, hash: ModuleHash) -> Option<Loaded<E::Module>> {
        let module = self.cache.load_resident(hash, &self.engine)?;
        self.counters.loaded(Source::Resident);
        Some(Loaded {
            module,
            source: Source::Resident,
            elapsed: started.elapsed(),
        })
    }

    /// Joins the flight of this module, or starts one.
    pub(crate) fn board(&self, hash: ModuleHash) -> Boarding<E::Module> {
        let boarding = self.flights.board(hash, self.engine.id());
        if let Boarding::Wait(_) = boarding {
            self.counters.coalesced();
            debug!(%hash, "waiting for another load of this module");
        }
        boarding
    }

    /// What a caller gets who asked at `started` and led or waited.
    pub(crate) fn answer(
        &self,
        started: Instant,
        outcome: Outcome<E::Module>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        match outcome {
            Ok((module, source)) => {
                let elapsed = started.elapsed();
                #[cfg(feature = "metrics")]
                self.counters.instruments.load_took(source, elapsed);
                Ok(Loaded {
                    module,
                    source,
                    elapsed,
                })
            }
            Err(error) => {
                self.counters.failed();
                Err(error)
            }
        }
    }
}

impl<E: Compile + fmt::Debug, C: fmt::Debug> fmt::Debug for ModuleLoader<E, C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ModuleLoader")
            .field("engine", &self.engine)
            .field("cache", &self.cache)
            .field("stats", &self.counters.snapshot())
            .finish_non_exhaustive()
    }
}
