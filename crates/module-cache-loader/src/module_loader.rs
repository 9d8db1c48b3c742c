//! The loader: who compiles, who waits, and what happens in which order.

use std::any::Any;
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use module_cache_core::{
    CacheError, Compile, CompilePermit, HashedModule, ModuleCache, ModuleHash, SaveOutcome,
};
use parking_lot::Mutex;

use crate::compile_slots::CompileSlots;
use crate::flight::{Flight, Outcome};
use crate::stats::{Counters, LoaderStats};
use crate::{LoadError, Loaded, Source};

/// Loads modules from a cache and compiles what it does not have, each once.
///
/// - **Once per process**: of the threads that ask for a module, one leads and the others wait for its
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
    engine: E,
    cache: C,
    flights: Mutex<HashMap<ModuleHash, Arc<Flight<E::Module>>>>,
    slots: CompileSlots,
    counters: Counters,
}

impl<E: Compile, C: ModuleCache<E>> ModuleLoader<E, C> {
    /// A loader that compiles as many modules at a time as there are cores.
    pub fn new(engine: E, cache: C) -> Self {
        let cores = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self {
            engine,
            cache,
            flights: Mutex::new(HashMap::new()),
            slots: CompileSlots::new(cores),
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
    /// When the module is not cached and cannot be fetched or compiled. A thread that waited gets the
    /// error of the one it waited for.
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
        let outcome = match self.cache.load_resident(hash, &self.engine) {
            Some(module) => {
                self.counters.loaded(Source::Resident);
                Ok((module, Source::Resident))
            }
            None => self.board(hash, fetch),
        };
        match outcome {
            Ok((module, source)) => Ok(Loaded {
                module,
                source,
                elapsed: started.elapsed(),
            }),
            Err(error) => {
                self.counters.failed();
                Err(error)
            }
        }
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

    /// Joins the flight of this module, or starts one.
    fn board<W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Outcome<E::Module>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&hash).cloned() {
            drop(flights);
            self.counters.coalesced();
            return flight.wait().unwrap_or(Err(LoadError::Recursive(hash)));
        }
        let flight = Arc::new(Flight::new());
        flights.insert(hash, Arc::clone(&flight));
        drop(flights);

        let _span = tracing::debug_span!("load_module", %hash).entered();
        let outcome = self.lead(hash, &flight, fetch);
        self.flights.lock().remove(&hash);
        outcome
    }

    /// Finds or makes the module, lands the flight, and saves what was made. Never panics, so that the
    /// flight always lands and is always removed.
    fn lead<W, F>(
        &self,
        hash: ModuleHash,
        flight: &Flight<E::Module>,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Outcome<E::Module>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let found = catch_unwind(AssertUnwindSafe(|| self.find_or_compile(hash, fetch)))
            .unwrap_or_else(|panic| Err(LoadError::panicked(hash, &*panic)));
        let (outcome, permit) = match found {
            Ok(Found {
                module,
                source,
                permit,
            }) => (Ok((module, source)), permit),
            Err(error) => (Err(error), None),
        };
        flight.land(outcome.clone());
        if let Ok((module, source)) = &outcome {
            self.counters.loaded(*source);
            tracing::debug!(%hash, %source, "loaded");
            if *source == Source::Compiled {
                let saved = catch_unwind(AssertUnwindSafe(|| self.save(hash, module)));
                if saved.is_err() {
                    self.counters.cache_error();
                    tracing::error!(%hash, "the cache panicked while it saved a module");
                }
            }
        }
        // Those who share the storage wait until it is there.
        drop(permit);
        outcome
    }

    fn find_or_compile<W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Result<Found<E::Module>, LoadError>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let stored = |module| Found {
            module,
            source: Source::Stored,
            permit: None,
        };
        if let Some(module) = self.look_up(hash) {
            return Ok(stored(module));
        }
        let permit = loop {
            let permit = match self.cache.compile_permit(hash, &self.engine) {
                Ok(CompilePermit::Exclusive(guard)) => Some(guard),
                Ok(CompilePermit::Waited) => None,
                Ok(CompilePermit::Uncoordinated) => break None,
                Err(error) => {
                    self.cache_error(hash, &error);
                    break None;
                }
            };
            // Even leave that came at once may come just after another holder was done.
            if let Some(module) = self.look_up(hash) {
                return Ok(stored(module));
            }
            if permit.is_some() {
                break permit;
            }
        };
        let wasm = fetch().map_err(|error| LoadError::Fetch {
            hash,
            source: Arc::from(error.into()),
        })?;
        let module = {
            let _slot = self.slots.take();
            let _span = tracing::debug_span!("compile", wasm_len = wasm.as_ref().len()).entered();
            self.engine.compile(wasm.as_ref())?
        };
        Ok(Found {
            module,
            source: Source::Compiled,
            permit,
        })
    }

    fn look_up(&self, hash: ModuleHash) -> Option<E::Module> {
        self.cache.load(hash, &self.engine).unwrap_or_else(|error| {
            self.cache_error(hash, &error);
            None
        })
    }

    fn save(&self, hash: ModuleHash, module: &E::Module) {
        match self.cache.save(hash, &self.engine, module) {
            Ok(SaveOutcome::Stored { bytes }) => tracing::debug!(%hash, bytes, "saved"),
            Ok(SaveOutcome::Skipped(reason)) => tracing::debug!(%hash, %reason, "not saved"),
            Err(error) => self.cache_error(hash, &error),
        }
    }

    /// Counts an error of the cache. The first is worth a warning; a disk that is gone would make
    /// thousands.
    fn cache_error(&self, hash: ModuleHash, error: &CacheError) {
        let cause = error.source().map(tracing::field::display);
        if self.counters.cache_error() {
            tracing::warn!(%hash, %error, cause, "the cache does not work; going on without it");
        } else {
            tracing::debug!(%hash, %error, cause, "the cache does not work");
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

struct Found<M> {
    module: M,
    source: Source,
    /// Held until the module is saved.
    permit: Option<Box<dyn Any + Send>>,
}
