//! What the leader of a load does: look up, ask for a permit, compile, hand out, save.

use std::cell::Cell;
use std::error::Error;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use module_cache_core::permit::{CompilePermit, PermitGuard, PermitOutcome, PermitWait};
use module_cache_core::{
    CacheError, Compile, EngineError, FoundModule, ModuleCache, ModuleHash, SaveOutcome, SkipReason,
};
use tracing::field::Empty;
use tracing::{Span, debug, debug_span, error, field, warn};
use web_time::Instant;

use crate::compile_slots::{Place, Slot};
use crate::course::{self, Course, Permit, Steps};
use crate::in_flight::Outcome;
use crate::single_flight::Lead;
use crate::{LoadError, ModuleLoader, Source};

/// What becomes of a save.
pub(crate) type Saved = Result<SaveOutcome, CacheError>;

/// What a leader hands out.
pub(crate) struct Found<M> {
    module: FoundModule<M>,
    source: Source,
    /// Held until the module is saved.
    permit: Option<PermitGuard>,
}

/// A load whose outcome everybody has, and which is to be [finished](ModuleLoader::finish). Dropped, it leaves the module
/// unsaved.
pub(crate) struct Completed<M: Clone> {
    lead: Lead<M>,
    span: Span,
    permit: Option<PermitGuard>,
}

impl<M: Clone> Completed<M> {
    pub(crate) fn hash(&self) -> ModuleHash {
        self.lead.hash()
    }

    pub(crate) fn is_compiled(&self) -> bool {
        matches!(self.lead.outcome(), Some(Ok((_, Source::Compiled))))
    }
}

impl<M> Found<M> {
    pub(crate) fn stored(module: FoundModule<M>) -> Self {
        Self {
            module,
            source: Source::Stored,
            permit: None,
        }
    }
}

impl<E: Compile, C: ModuleCache<E>> ModuleLoader<E, C> {
    /// The span of a load, below the caller's. A subscriber that panics costs the span.
    pub(crate) fn span(&self, hash: ModuleHash) -> Span {
        let span = || debug_span!("load_module", %hash, engine = %self.engine.id(), source = Empty);
        panic_as_error(hash, || Ok(span())).unwrap_or_else(|_| Span::none())
    }

    /// Looks the module up where it is stored. While another holder compiles it, waits and looks again.
    ///
    /// This is what comes before the wasm is fetched: neither a permit nor a slot is held while that lasts.
    pub(crate) fn find(&self, hash: ModuleHash) -> Option<Found<E::Module>> {
        loop {
            if let Some(module) = self.look_up(hash) {
                return Some(Found::stored(module));
            }
            let CompilePermit::Held(wait) = self.ask_for_permit(hash) else {
                return None;
            };
            outlast(wait, self.pace.of_any());
        }
    }

    /// What follows a miss: compiles, unless somebody else has stored the module by then.
    pub(crate) fn find_or_compile(
        &self,
        hash: ModuleHash,
        wasm: &[u8],
        place: Place<'_>,
    ) -> Result<Found<E::Module>, LoadError> {
        let load = Load {
            loader: self,
            hash,
            wasm,
            place,
            is_behind: Cell::new(false),
        };
        Ok(match course::blocking(course::find_or_compile(&load))? {
            Course::Found(module) => Found::stored(module),
            Course::Compiled(module, permit) => Found {
                module,
                source: Source::Compiled,
                permit,
            },
        })
    }

    /// Does `work` for the load and completes it: hands the outcome to everybody who waits. What is compiled is not saved yet.
    ///
    /// Much of this is other people's code: engine, cache, module, subscriber. A panic in it is an error of this
    /// load.
    pub(crate) fn lead(
        &self,
        lead: Lead<E::Module>,
        span: Span,
        work: impl FnOnce() -> Result<Found<E::Module>, LoadError>,
    ) -> (Outcome<E::Module>, Completed<E::Module>) {
        let hash = lead.hash();
        let mut permit = None;
        let outcome = panic_as_error(hash, || {
            let found = in_span(span.clone(), work)?;
            permit = found.permit;
            let outcome = (found.module, found.source);
            // Where a module cannot be cloned, nobody gets it.
            let for_others = outcome.clone();
            // Before anybody who has the module can ask for the count.
            self.counters.loaded(outcome.1);
            lead.complete(Ok(for_others));
            Ok(outcome)
        });
        if let Err(error) = &outcome {
            lead.complete(Err(error.clone()));
        }
        (outcome, Completed { lead, span, permit })
    }

    /// Saves what was compiled. A panic is an error of the save, of which this says what became.
    pub(crate) fn finish(&self, completed: Completed<E::Module>) -> Option<Saved> {
        let is_compiled = completed.is_compiled();
        let Completed { lead, span, permit } = completed;
        let hash = lead.hash();
        let outcome = lead.outcome();
        let mut saved = None;
        let finished = panic_as_error(hash, || {
            let _span = span.enter();
            self.log_and_save(hash, outcome, &span, &mut saved);
            // Those who share the storage wait until it is there.
            if let Some(permit) = permit {
                permit.release(outcome_of(saved.as_ref()));
            }
            Ok(())
        });
        if let Err(error) = finished {
            self.counters.cache_error();
            log(
                hash,
                || error!(%hash, %error, "it is unknown whether the module was stored"),
            );
            if is_compiled {
                let error = CacheError::backend("the cache", "save the module", error);
                saved.get_or_insert(Err(error));
            }
        }
        // Until now, those who asked got the module from this load.
        drop(lead);
        let _ = panic_as_error(hash, || {
            drop(span);
            Ok(())
        });
        saved
    }

    fn log_and_save(
        &self,
        hash: ModuleHash,
        outcome: Option<&Outcome<E::Module>>,
        span: &Span,
        saved: &mut Option<Saved>,
    ) {
        match outcome {
            Some(Ok((found, source))) => {
                span.record("source", field::display(source));
                let accepted_id = found.accepted_id.map(field::display);
                debug!(%hash, %source, accepted_id, "loaded");
                if *source == Source::Compiled {
                    self.save(hash, &found.module, saved);
                }
            }
            Some(Err(error)) => debug!(%hash, error = error as &dyn Error, "not loaded"),
            None => {}
        }
    }

    pub(crate) fn look_up(&self, hash: ModuleHash) -> Option<FoundModule<E::Module>> {
        let loaded = in_span(debug_span!("look_up"), || {
            self.cache.find(hash, &self.engine)
        });
        loaded.unwrap_or_else(|error| {
            self.cache_error(hash, &error);
            None
        })
    }

    fn ask_for_permit(&self, hash: ModuleHash) -> CompilePermit {
        in_span(debug_span!("permit"), || {
            match self.cache.compile_permit(hash, &self.engine) {
                Ok(permit) => {
                    debug!(%hash, ?permit, "asked for a permit");
                    permit
                }
                Err(error) => {
                    self.cache_error(hash, &error);
                    CompilePermit::Uncoordinated
                }
            }
        })
    }

    fn compile(&self, wasm: &[u8], is_behind: bool) -> Result<E::Module, LoadError> {
        in_span(debug_span!("compile", wasm_len = wasm.len()), || {
            let started = Instant::now();
            let module = if is_behind {
                self.engine.compile_behind(wasm)?
            } else {
                self.engine.compile(wasm)?
            };
            let elapsed = started.elapsed();
            self.pace.took(wasm.len(), elapsed);
            #[cfg(feature = "metrics")]
            crate::metrics_export::compile_took(elapsed);
            debug!(?elapsed, "compiled");
            Ok(module)
        })
    }

    fn save(&self, hash: ModuleHash, module: &E::Module, saved: &mut Option<Saved>) {
        let _span = debug_span!("save").entered();
        // Known before it is logged, which may panic.
        match saved.insert(self.cache.save(hash, &self.engine, module)) {
            Ok(SaveOutcome::Stored { bytes }) => debug!(%hash, bytes, "saved"),
            Ok(SaveOutcome::Skipped(reason)) => debug!(%hash, %reason, "not saved"),
            Err(error) => self.cache_error(hash, error),
        }
    }

    /// Counts an error of the cache. The first is worth a warning; a disk that is gone would make
    /// thousands.
    fn cache_error(&self, hash: ModuleHash, error: &CacheError) {
        let cause = error.source().map(field::display);
        if self.counters.cache_error() {
            warn!(%hash, %error, cause, "the cache does not work; going on without it");
        } else {
            debug!(%hash, %error, cause, "the cache does not work");
        }
    }
}

/// A load that found nothing stored, whose steps block.
struct Load<'a, E: Compile, C> {
    loader: &'a ModuleLoader<E, C>,
    hash: ModuleHash,
    wasm: &'a [u8],
    place: Place<'a>,
    /// Whether its slot is one behind.
    is_behind: Cell<bool>,
}

impl<'a, E: Compile, C: ModuleCache<E>> Steps for Load<'a, E, C> {
    type Module = FoundModule<E::Module>;
    type Error = LoadError;
    type Slot = Slot<'a>;
    type Guard = PermitGuard;
    type Wait = PermitWait;

    async fn look_up(&self) -> Option<FoundModule<E::Module>> {
        self.loader.look_up(self.hash)
    }

    async fn slot(&self) -> Result<Slot<'a>, LoadError> {
        let slot = in_span(debug_span!("slot"), || self.loader.slots.take(self.place));
        let slot = slot.ok_or(LoadError::Abandoned(self.hash))?;
        self.is_behind.set(slot.is_behind);
        Ok(slot)
    }

    async fn permit(&self) -> Permit<PermitGuard, PermitWait> {
        match self.loader.ask_for_permit(self.hash) {
            CompilePermit::Exclusive(guard) => Permit::Exclusive(guard),
            CompilePermit::Held(wait) => Permit::Held(wait),
            CompilePermit::Uncoordinated => Permit::Uncoordinated,
        }
    }

    async fn outlast(&self, wait: PermitWait) -> PermitOutcome {
        outlast(wait, self.loader.pace.of_bytes(self.wasm.len()))
    }

    async fn compile(&self) -> Result<FoundModule<E::Module>, LoadError> {
        // The load before this one may have found that since it was asked for.
        if let Some(error) = self.loader.invalid.get(self.hash) {
            self.loader.counters.known_invalid();
            return Err(error.into());
        }
        let compile = || self.loader.compile(self.wasm, self.is_behind.get());
        let compiled = match self.place {
            Place::FrontUnless(is_needless) if is_needless() => {
                Err(LoadError::Abandoned(self.hash))
            }
            Place::FrontUnless(_) => panic_as_error(self.hash, compile).map_err(as_answer),
            _ => compile(),
        };
        if let Err(LoadError::Compile(error)) = &compiled {
            // It would say that again.
            if error.is_invalid_wasm() {
                self.loader.invalid.add(self.hash, error.clone());
            }
        }
        compiled.map(FoundModule::own)
    }

    fn release(&self, guard: PermitGuard, outcome: PermitOutcome) {
        guard.release(outcome);
    }
}

/// What an engine that panicked has to say of the wasm.
fn as_answer(error: LoadError) -> LoadError {
    match error {
        LoadError::Panicked { message, .. } => EngineError::panicked(&message).into(),
        error => error,
    }
}

/// Waits for the holder of a permit, in a span of its own.
fn outlast(wait: PermitWait, expected: Duration) -> PermitOutcome {
    in_span(debug_span!("wait"), || wait.wait(expected))
}

/// Whether a module that was compiled here was stored, as far as its save says.
pub(crate) fn outcome_of(saved: Option<&Saved>) -> PermitOutcome {
    match saved {
        Some(Ok(SaveOutcome::Stored { .. } | SaveOutcome::Skipped(SkipReason::AlreadyStored))) => {
            PermitOutcome::Stored
        }
        Some(_) => PermitOutcome::NotStored,
        None => PermitOutcome::Unknown,
    }
}

/// Does `work` in a span.
///
/// The span is left before the value is returned: a value on its way out of a function is leaked, be it a slot or a
/// permit, if something that is dropped behind it panics, as a subscriber may.
pub(crate) fn in_span<T>(span: Span, work: impl FnOnce() -> T) -> T {
    let entered = span.entered();
    let value = work();
    drop(entered);
    value
}

/// Logs; a subscriber that panics costs the message.
pub(crate) fn log(hash: ModuleHash, message: impl FnOnce()) {
    let _ = panic_as_error(hash, || {
        message();
        Ok(())
    });
}

/// A panic in `work` is an error of this load.
pub(crate) fn panic_as_error<T>(
    hash: ModuleHash,
    work: impl FnOnce() -> Result<T, LoadError>,
) -> Result<T, LoadError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let error = LoadError::panicked(hash, &*panic);
        // What a panic brings may panic when it is dropped.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            mem::forget(panic);
        }
        Err(error)
    })
}
