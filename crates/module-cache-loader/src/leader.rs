//! What the leader of a flight does: look up, ask leave, compile, hand out, save.

use std::any::Any;
#[cfg(feature = "tokio")]
use std::convert::Infallible;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};

use module_cache_core::{CacheError, Compile, CompilePermit, ModuleCache, ModuleHash, SaveOutcome};
use tracing::{debug, debug_span, error, field, warn};
use web_time::Instant;

use crate::flight::Outcome;
use crate::flights::Lead;
use crate::{LoadError, ModuleLoader, Source};

/// What a leader hands out.
pub(crate) struct Found<M> {
    module: M,
    source: Source,
    /// Held until the module is saved.
    permit: Option<Box<dyn Any + Send>>,
}

impl<M> Found<M> {
    fn stored(module: M) -> Self {
        Self {
            module,
            source: Source::Stored,
            permit: None,
        }
    }
}

impl<E: Compile, C: ModuleCache<E>> ModuleLoader<E, C> {
    /// All of it on this thread.
    pub(crate) fn lead<W, F>(
        &self,
        lead: Lead<E::Module>,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Outcome<E::Module>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let hash = lead.hash();
        let found = lead.work(|| match self.look_up(hash) {
            Some(module) => Ok(Found::stored(module)),
            None => self.find_or_compile(hash, fetch),
        });
        self.land(lead, found)
    }

    /// The first part of it. `None` if that was all.
    #[cfg(feature = "tokio")]
    pub(crate) fn lead_until_miss(&self, lead: Lead<E::Module>) -> Option<Lead<E::Module>> {
        let found = lead.work(|| Ok(self.look_up(lead.hash()))).transpose();
        let Some(found) = found else {
            return Some(lead);
        };
        let _ = self.land(lead, found.map(Found::stored));
        None
    }

    /// The rest of it, after the wasm was fetched.
    #[cfg(feature = "tokio")]
    pub(crate) fn lead_after_miss(&self, lead: Lead<E::Module>, wasm: &[u8]) -> Outcome<E::Module> {
        let found = lead.work(|| self.find_or_compile(lead.hash(), || Ok::<_, Infallible>(wasm)));
        self.land(lead, found)
    }

    fn look_up(&self, hash: ModuleHash) -> Option<E::Module> {
        let _span = debug_span!("look_up").entered();
        self.cache.load(hash, &self.engine).unwrap_or_else(|error| {
            self.cache_error(hash, &error);
            None
        })
    }

    /// What follows a miss: compiles, unless somebody else has stored the module by the time that there is
    /// leave to.
    fn find_or_compile<W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Result<W, F>,
    ) -> Result<Found<E::Module>, LoadError>
    where
        W: AsRef<[u8]>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let permit = loop {
            let permit = match self.ask_leave(hash) {
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
                return Ok(Found::stored(module));
            }
            if permit.is_some() {
                break permit;
            }
        };
        let wasm = fetch().map_err(|error| LoadError::fetch(hash, error))?;
        Ok(Found {
            module: self.compile(wasm.as_ref())?,
            source: Source::Compiled,
            permit,
        })
    }

    /// Hands the outcome to everybody who waits, then saves what was compiled. Never panics.
    pub(crate) fn land(
        &self,
        lead: Lead<E::Module>,
        found: Result<Found<E::Module>, LoadError>,
    ) -> Outcome<E::Module> {
        let hash = lead.hash();
        let (outcome, permit) = match found {
            Ok(Found {
                module,
                source,
                permit,
            }) => (Ok((module, source)), permit),
            Err(error) => (Err(error), None),
        };
        lead.land(outcome.clone());
        let span = lead.span().enter();
        match &outcome {
            Ok((module, source)) => {
                self.counters.loaded(*source);
                lead.span().record("source", field::display(source));
                debug!(%hash, %source, "loaded");
                if *source == Source::Compiled {
                    self.save(hash, module);
                }
            }
            Err(error) => debug!(%hash, error = error as &dyn Error, "not loaded"),
        }
        drop(span);
        // Those who share the storage wait until it is there.
        drop(permit);
        drop(lead);
        outcome
    }

    fn ask_leave(&self, hash: ModuleHash) -> Result<CompilePermit, CacheError> {
        let _span = debug_span!("permit").entered();
        let permit = self.cache.compile_permit(hash, &self.engine);
        if let Ok(permit) = &permit {
            debug!(%hash, permit = ?permit, "asked leave to compile");
        }
        permit
    }

    fn compile(&self, wasm: &[u8]) -> Result<E::Module, LoadError> {
        let _slot = debug_span!("slot").in_scope(|| self.slots.take());
        let _span = debug_span!("compile", wasm_len = wasm.len()).entered();
        let started = Instant::now();
        let module = self.engine.compile(wasm)?;
        let elapsed = started.elapsed();
        #[cfg(feature = "metrics")]
        self.counters.instruments.compile_took(elapsed);
        debug!(?elapsed, "compiled");
        Ok(module)
    }

    fn save(&self, hash: ModuleHash, module: &E::Module) {
        let _span = debug_span!("save").entered();
        let saving = || self.cache.save(hash, &self.engine, module);
        match catch_unwind(AssertUnwindSafe(saving)) {
            Ok(Ok(SaveOutcome::Stored { bytes })) => debug!(%hash, bytes, "saved"),
            Ok(Ok(SaveOutcome::Skipped(reason))) => debug!(%hash, %reason, "not saved"),
            Ok(Err(error)) => self.cache_error(hash, &error),
            Err(_) => {
                self.counters.cache_error();
                error!(%hash, "the cache panicked while it saved a module");
            }
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
