//! The loader: its calls, and which of them lead a load or wait for one.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use module_cache_core::{Compile, EngineError, HashedModule, ModuleCache, ModuleHash};
use tracing::{debug, debug_span};
use web_time::Instant;

use crate::compile_slots::{CompileSlots, Place};
use crate::in_flight::Outcome;
use crate::leader::{Completed, Found, Saved, log};
use crate::pace::Pace;
use crate::remembered::Remembered;
use crate::single_flight::{Joined, SingleFlight};
use crate::stats::{Counters, LoaderStats};
use crate::{LoadError, Loaded, Source};

/// Loads modules from a cache and compiles what it does not have, each once.
///
/// - **Once per process**: if several callers ask for a module at the same time, one leads the load and the others wait for
///   its outcome, a module or an error. After an error, the next load tries again.
/// - **Invalid wasm once**: if the engine says that the wasm is invalid
///   ([`is_invalid_wasm`](module_cache_core::EngineError::is_invalid_wasm)), later loads get that error without compiling.
///   This is remembered for ten minutes, for the last 1,024 such modules.
/// - **Once per storage**: the leader asks the cache for a [permit to compile](ModuleCache::compile_permit), which a
///   storage that processes share issues to one at a time. While another process compiles the module, this one compiles
///   others.
/// - **First come, first served**: as many modules are compiled at a time as there are slots, in the order of the requests.
///   A module that another process compiled and did not store is put at the end of the queue again.
/// - **Module first, storage second**: waiting callers get the module as soon as it is compiled. Only the leader waits
///   until it is saved.
/// - **A broken cache costs time, not the load**: its errors are counted, logged (the first as a warning) and fail no
///   load; that of a save is in [`Loaded::saved`].
/// - **A panic costs one load.** If engine, cache, module, `fetch` or a subscriber panics, the load ends in
///   [`LoadError::Panicked`]; a panic in the cache's `load_resident`, or while a caller's module is cloned, reaches that
///   caller. The loader stays usable. The engine may not, such as one of wasmer that panicked under its lock.
///
/// A resident hit takes only the cache's own lock, and reads no clock.
pub struct ModuleLoader<E: Compile, C> {
    pub(crate) engine: E,
    pub(crate) cache: C,
    loads: Arc<SingleFlight<E::Module>>,
    pub(crate) slots: Arc<CompileSlots>,
    pub(crate) counters: Counters,
    pub(crate) pace: Pace,
    pub(crate) invalid: Remembered<EngineError>,
}

impl<E: Compile, C: ModuleCache<E>> ModuleLoader<E, C> {
    /// A loader that compiles as many modules at a time as there are cores.
    pub fn new(engine: E, cache: C) -> Self {
        Self {
            engine,
            cache,
            loads: Arc::new(SingleFlight::new()),
            slots: Arc::new(CompileSlots::one_per_core()),
            counters: Counters::default(),
            pace: Pace::default(),
            invalid: Remembered::default(),
        }
    }

    /// Limits how many modules are compiled at a time.
    #[must_use]
    pub fn with_max_compiles(mut self, count: NonZeroUsize) -> Self {
        self.slots = Arc::new(CompileSlots::new(count));
        self
    }

    /// Loads a module whose wasm the caller has.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be compiled.
    pub fn load(&self, module: &HashedModule<'_>) -> Result<Loaded<E::Module>, LoadError> {
        self.load_in(Place::Front, module, Self::finish)
    }

    pub(crate) fn load_in(
        &self,
        place: Place<'_>,
        module: &HashedModule<'_>,
        finish: impl FnOnce(&Self, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        let hash = module.hash();
        self.load_by(hash, || self.load_here(hash, module.wasm(), place), finish)
    }

    /// Loads a module by its hash, and calls `fetch` for the wasm on a miss.
    ///
    /// The caller is responsible for `fetch` returning the wasm of that hash. While it runs, only loads of the same module
    /// wait for it. It is not called while another process compiles the module. If several processes miss at the same time,
    /// each of them fetches and one compiles.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be fetched or compiled. A caller that waited for another load gets the
    /// error of that load.
    pub fn load_with<W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Result<Loaded<E::Module>, LoadError>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        self.load_with_in(Place::Front, hash, fetch, Self::finish)
    }

    pub(crate) fn load_with_in<W, F>(
        &self,
        place: Place<'_>,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Result<W, F>,
        finish: impl FnOnce(&Self, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let work = || {
            if let Some(found) = self.find(hash) {
                return Ok(found);
            }
            let wasm = debug_span!("fetch").in_scope(fetch);
            let wasm = wasm.map_err(|error| LoadError::fetch(hash, error))?;
            let found = self.find_or_compile(hash, wasm.as_ref(), place);
            // Here, and not at the end: what is found would leak if this panicked then.
            drop(wasm);
            found
        };
        self.load_by(hash, work, finish)
    }

    /// The engine that compiles the modules, and that they belong to.
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

    /// The hot path: no lock but the cache's, no clock, no span, and nothing is allocated.
    #[inline]
    pub(crate) fn resident(&self, hash: ModuleHash) -> Option<Loaded<E::Module>> {
        let module = self.cache.load_resident(hash, &self.engine)?;
        self.counters.resident();
        Some(Loaded::new(module, Source::Resident, Duration::ZERO))
    }

    /// The module that is being saved, and that memory may not have yet.
    pub(crate) fn being_saved(&self, hash: ModuleHash) -> Option<Loaded<E::Module>> {
        let (found, _) = self.loads.outcome(hash)?.ok()?;
        self.counters.resident();
        Some(Loaded::new(found.module, Source::Resident, Duration::ZERO))
    }

    /// The error of a module that was found to be invalid.
    pub(crate) fn known_error(&self, hash: ModuleHash) -> Option<LoadError> {
        let error = self.invalid.get(hash)?;
        self.counters.failed();
        self.counters.known_invalid();
        log(
            hash,
            || debug!(%hash, %error, "the module is known to be invalid"),
        );
        Some(error.into())
    }

    /// Loads a module; if it is not resident, and nobody else is loading it, by `work`. Once all who wait have it, `finish`
    /// sees to it that it is saved.
    fn load_by(
        &self,
        hash: ModuleHash,
        work: impl FnOnce() -> Result<Found<E::Module>, LoadError>,
        finish: impl FnOnce(&Self, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        if let Some(loaded) = self.resident(hash) {
            return Ok(loaded);
        }
        self.load_missing(hash, work, finish)
    }

    /// Apart from the hot path, whose frame it would make larger.
    #[inline(never)]
    fn load_missing(
        &self,
        hash: ModuleHash,
        work: impl FnOnce() -> Result<Found<E::Module>, LoadError>,
        finish: impl FnOnce(&Self, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        if let Some(error) = self.known_error(hash) {
            return Err(error);
        }
        let started = Instant::now();
        let (outcome, saved) = match self.join(hash).lead_or_wait() {
            Ok(lead) => {
                let (outcome, completed) = self.lead(lead, self.span(hash), work);
                (outcome, finish(self, completed))
            }
            Err(outcome) => (outcome, None),
        };
        let mut loaded = self.answer(started, outcome)?;
        loaded.saved = saved;
        Ok(loaded)
    }

    /// What the leader does who has the wasm.
    pub(crate) fn load_here(
        &self,
        hash: ModuleHash,
        wasm: &[u8],
        place: Place<'_>,
    ) -> Result<Found<E::Module>, LoadError> {
        match self.look_up(hash) {
            Some(module) => Ok(Found::stored(module)),
            None => self.find_or_compile(hash, wasm, place),
        }
    }

    /// Joins the load of this module, or begins one.
    pub(crate) fn join(&self, hash: ModuleHash) -> Joined<E::Module> {
        let joined = self.loads.join(hash);
        if !joined.first {
            self.counters.coalesced();
            log(
                hash,
                || debug!(%hash, "waiting for another load of this module"),
            );
        }
        joined
    }

    /// What a caller gets who asked at `started`.
    pub(crate) fn answer(
        &self,
        started: Instant,
        outcome: Outcome<E::Module>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        match outcome {
            Ok((found, source)) => {
                let elapsed = started.elapsed();
                #[cfg(feature = "metrics")]
                crate::metrics_export::load_took(source, elapsed);
                let mut loaded = Loaded::new(found.module, source, elapsed);
                loaded.accepted_id = found.accepted_id.map(Box::new);
                Ok(loaded)
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
