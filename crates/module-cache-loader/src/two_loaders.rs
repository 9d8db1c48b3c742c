//! The two loaders behind a [`TieredLoader`](crate::TieredLoader): which of them serves a module, and how the best module
//! replaces the fast one.

use std::error::Error;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SendError};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use module_cache_core::permit::PermitOutcome;
use module_cache_core::{
    CacheError, Compile, Engine, EngineId, EntryKey, FoundModule, HashedModule, ModuleCache,
    ModuleHash,
};
use parking_lot::Mutex;
use tracing::debug;
use web_time::Instant;

use crate::compile_slots::{Behind, CompileSlots, Place};
use crate::in_flight::Outcome;
use crate::leader::{Completed, Saved, in_span, log, outcome_of, panic_as_error};
use crate::remembered::Remembered;
use crate::single_flight::SingleFlight;
use crate::upgrades::Upgrades;
use crate::{LoadError, Loaded, ModuleLoader, Source};

/// Fast modules that are saved at a time while they are in use. Callers that compile more save theirs first.
const SAVES_BEHIND: usize = 8;

pub(crate) struct TwoLoaders<Fast: Compile, Best: Compile, C> {
    pub(crate) fast: ModuleLoader<Fast, Arc<C>>,
    pub(crate) best: ModuleLoader<Best, Arc<C>>,
    pub(crate) cache: Arc<C>,
    pub(crate) slots: Arc<CompileSlots>,
    /// Those who look whether best is stored.
    pub(crate) looking: Arc<SingleFlight<Option<Best::Module>>>,
    /// What fast does not compile.
    pub(crate) refused: Remembered<()>,
    /// Whether the cache kept the best module of the last upgrade.
    pub(crate) kept: Remembered<bool>,
    pub(crate) without_fast: AtomicU64,
    pub(crate) upgrades: Upgrades<Best, Upgrade<Best, C>>,
    pub(crate) most_behind: NonZeroUsize,
    pub(crate) longest_on_fast: Duration,
    /// Those who save fast modules.
    pub(crate) saves: Mutex<Vec<JoinHandle<()>>>,
}

/// A best module to be loaded.
pub(crate) struct Upgrade<Best: Compile, C> {
    pub(crate) behind: Behind,
    pub(crate) load: Box<LoadBest<Best, C>>,
}

pub(crate) type LoadBest<Best, C> = dyn FnOnce(
        &ModuleLoader<Best, Arc<C>>,
        Place<'_>,
    ) -> Result<Loaded<<Best as Engine>::Module>, LoadError>
    + Send;

pub(crate) enum First<FastModule, BestModule> {
    Fast(Loaded<FastModule>),
    Best(Loaded<BestModule>),
}

pub(crate) type LoadedFirst<Fast, Best> =
    Result<First<<Fast as Engine>::Module, <Best as Engine>::Module>, LoadError>;

impl<Fast, Best, C> TwoLoaders<Fast, Best, C>
where
    Fast: Compile<Module: Send + Sync> + Send + Sync + 'static,
    Best: Compile<Module: Send + Sync> + Send + Sync + 'static,
    C: ModuleCache<Fast> + ModuleCache<Best> + Send + Sync + 'static,
{
    /// A module of either tier, whichever is there first.
    pub(crate) fn first(self: &Arc<Self>, origin: &impl Origin) -> LoadedFirst<Fast, Best> {
        let hash = origin.hash();
        let stays = self.upgrades.stays(hash);
        if !stays {
            if let Some(loaded) = self.best.resident(hash) {
                return Ok(First::Best(loaded));
            }
        }
        if let Some(loaded) = self.fast_on_its_way(hash) {
            return Ok(First::Fast(loaded));
        }
        if !stays {
            if let Some(loaded) = self.stored_best(hash) {
                return Ok(First::Best(loaded));
            }
        }
        if let Some(loaded) = self.load_fast(origin, stays) {
            return loaded;
        }
        self.without_fast.fetch_add(1, Ordering::Relaxed);
        let loaded = origin.load(&self.best, Place::Front, ModuleLoader::finish);
        loaded.map(First::Best)
    }

    /// The fast module, if it is alive and nobody need look for the best one.
    pub(crate) fn fast_on_its_way(&self, hash: ModuleHash) -> Option<Loaded<Fast::Module>> {
        if !self.upgrades.knows(hash) {
            return None;
        }
        let resident = self.fast.resident(hash);
        resident.or_else(|| self.fast.being_saved(hash))
    }

    /// The best module, if it is stored. Threads that ask at the same time look once.
    fn stored_best(&self, hash: ModuleHash) -> Option<Loaded<Best::Module>> {
        let started = Instant::now();
        let joined = self.looking.join(hash);
        let is_first = joined.first;
        let outcome = match joined.lead_or_wait() {
            Ok(lead) => {
                let outcome = self.look_up_best(hash);
                let for_others = panic_as_error(hash, || outcome.clone());
                lead.complete(for_others);
                outcome
            }
            Err(outcome) => outcome,
        };
        let loaded = found_best(outcome, started)?;
        if !is_first {
            self.best.counters.coalesced();
        }
        Some(loaded)
    }

    fn look_up_best(&self, hash: ModuleHash) -> Outcome<Option<Best::Module>> {
        panic_as_error(hash, || {
            let found = in_span(self.best.span(hash), || self.best.look_up(hash));
            let found = found.map_or(FoundModule::own(None), |found| {
                self.best.counters.loaded(Source::Stored);
                FoundModule {
                    module: Some(found.module),
                    accepted_id: found.accepted_id,
                }
            });
            Ok((found, Source::Stored))
        })
    }

    /// The fast module, or best if it was stored meanwhile and the module does not stay on fast; `None` for wasm that fast does
    /// not compile.
    fn load_fast(
        self: &Arc<Self>,
        origin: &impl Origin,
        stays: bool,
    ) -> Option<LoadedFirst<Fast, Best>> {
        let hash = origin.hash();
        if self.refused.get(hash).is_some() {
            return None;
        }
        let load = |is_needless: &dyn Fn() -> bool| {
            let place = Place::FrontUnless(is_needless);
            origin.load(&self.fast, place, |_, completed| {
                self.save_behind(completed, stays)
            })
        };
        let mut loaded = load(&|| !stays && self.has_best(hash));
        // Whoever led had no need of it, and others may lead whom this one joins.
        while let Err(LoadError::Abandoned(_)) = loaded {
            self.fast.counters.tried_again();
            if !stays {
                // Those who look at this moment may have begun before best was stored.
                let started = Instant::now();
                if let Some(best) = found_best(self.look_up_best(hash), started) {
                    return Some(Ok(First::Best(best)));
                }
            }
            loaded = load(&|| false);
        }
        if let Err(error @ LoadError::Compile(_)) = &loaded {
            self.refused.add(hash, ());
            log(
                hash,
                || debug!(%hash, %error, "the fast tier cannot compile the module"),
            );
            return None;
        }
        Some(loaded.map(First::Fast))
    }

    /// Saves the fast module while it is in use, or first if there is no thread for it.
    fn save_behind(
        self: &Arc<Self>,
        completed: Completed<Fast::Module>,
        stays: bool,
    ) -> Option<Saved> {
        if !completed.is_compiled() {
            return self.save_fast(completed, stays);
        }
        let (send, receive) = mpsc::channel();
        let mut saves = self.saves.lock();
        saves.retain(|save| !save.is_finished());
        if saves.len() < SAVES_BEHIND {
            let shared = Arc::clone(self);
            let thread = thread::Builder::new().name("module-cache save".to_owned());
            let save = thread.spawn(move || {
                if let Ok(completed) = receive.recv() {
                    shared.save_fast(completed, stays);
                }
            });
            if let Ok(save) = save {
                saves.push(save);
                drop(saves);
                // It waits for nothing else.
                return match send.send(completed) {
                    Ok(()) => None,
                    Err(SendError(completed)) => self.save_fast(completed, stays),
                };
            }
        }
        drop(saves);
        self.save_fast(completed, stays)
    }

    fn save_fast(&self, completed: Completed<Fast::Module>, stays: bool) -> Option<Saved> {
        let hash = completed.hash();
        let saved = self.fast.finish(completed);
        // It may be upgraded already, and came there too late to leave with that.
        if saved.is_some() && !stays && !self.upgrades.knows(hash) {
            self.leave_fast(hash, None);
        }
        saved
    }

    /// The fast module in place of a best one that cannot be prepared.
    pub(crate) fn fast_instead(
        self: &Arc<Self>,
        origin: &impl Origin,
        error: LoadError,
    ) -> Result<Loaded<Fast::Module>, LoadError> {
        let hash = origin.hash();
        match self.load_fast(origin, true) {
            Some(Ok(First::Fast(loaded))) => {
                self.upgrades.not_prepared(hash, &error);
                Ok(loaded)
            }
            _ => Err(error),
        }
    }

    /// Loads a best module for those who wait for it, and lets go of the fast one.
    fn upgrade(&self, hash: ModuleHash, upgrade: Upgrade<Best, C>) {
        let loaded = panic_as_error(hash, || {
            (upgrade.load)(&self.best, Place::Behind(upgrade.behind))
        });
        let saved = loaded
            .as_ref()
            .ok()
            .and_then(|loaded| loaded.saved.as_ref());
        let is_kept = matches!(outcome_of(saved), PermitOutcome::Stored);
        self.kept.add(hash, is_kept);
        match loaded {
            Ok(loaded) => {
                let engine = self.best.engine();
                let upgraded = self.upgrades.succeed(hash, engine, &loaded.module);
                if let Some(upgraded) = upgraded {
                    self.leave_fast(hash, loaded.accepted_id.as_deref());
                    for waiter in upgraded {
                        waiter.end(Ok(()));
                    }
                }
            }
            Err(error) => self.upgrades.fail(hash, &error),
        }
    }

    fn has_best(&self, hash: ModuleHash) -> bool {
        let has = panic_as_error(hash, || Ok(self.cache.contains(hash, self.best.engine())));
        matches!(has, Ok(Ok(true)))
    }

    /// Removes the fast module from the cache, if best is stored under this id, or its engine's own.
    fn leave_fast(&self, hash: ModuleHash, accepted_id: Option<&EngineId>) {
        let _ = panic_as_error(hash, || {
            let left = self
                .stores_best(hash, accepted_id)
                .and_then(|stored| Ok(stored && self.cache.remove(hash, self.fast.engine())?));
            if let Err(error) = left {
                debug!(%hash, %error, "the fast module stays in the cache");
            }
            Ok(())
        });
    }

    /// Whether best is where later starts find it: memory has it before the storages. Under other accepted ids, they may
    /// have what the engine refuses.
    fn stores_best(
        &self,
        hash: ModuleHash,
        accepted_id: Option<&EngineId>,
    ) -> Result<bool, CacheError> {
        let engine = self.best.engine();
        let storages = <C as ModuleCache<Best>>::storages(&self.cache);
        if storages.is_empty() {
            return self.cache.contains(hash, engine);
        }
        // What was saved may still be on its way to one.
        if self.kept.get(hash) == Some(true) {
            return Ok(true);
        }
        let key = EntryKey::new(hash, *accepted_id.unwrap_or(engine.id()));
        // One that fails does not hide what another has.
        let mut storages = storages.into_iter();
        Ok(storages.any(|storage| matches!(storage.exists(&key), Ok(true))))
    }
}

fn found_best<M>(outcome: Outcome<Option<M>>, started: Instant) -> Option<Loaded<M>> {
    let (found, source) = outcome.ok()?;
    let mut loaded = Loaded::new(found.module?, source, started.elapsed());
    loaded.accepted_id = found.accepted_id.map(Box::new);
    Some(loaded)
}

/// What a thread does that compiles behind, until there is nothing to do or the loader is dropped.
pub(crate) fn work<Fast, Best, C>(shared: &Weak<TwoLoaders<Fast, Best, C>>)
where
    Fast: Compile<Module: Send + Sync> + Send + Sync + 'static,
    Best: Compile<Module: Send + Sync> + Send + Sync + 'static,
    C: ModuleCache<Fast> + ModuleCache<Best> + Send + Sync + 'static,
{
    while let Some(shared) = shared.upgrade() {
        let Some((hash, upgrade)) = shared.upgrades.next() else {
            return;
        };
        let done = panic_as_error(hash, || {
            shared.upgrade(hash, upgrade);
            Ok(())
        });
        if let Err(error) = done {
            shared.upgrades.fail(hash, &error);
        }
    }
}

/// Where the wasm of a module comes from, for either tier.
pub(crate) trait Origin: Send + Sync + 'static {
    fn hash(&self) -> ModuleHash;
    fn load<E: Compile, C: ModuleCache<E>>(
        &self,
        loader: &ModuleLoader<E, C>,
        place: Place<'_>,
        finish: impl FnOnce(&ModuleLoader<E, C>, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError>;
}

pub(crate) struct AtHand(pub(crate) Arc<HashedModule<'static>>);

impl Origin for AtHand {
    fn hash(&self) -> ModuleHash {
        self.0.hash()
    }

    fn load<E: Compile, C: ModuleCache<E>>(
        &self,
        loader: &ModuleLoader<E, C>,
        place: Place<'_>,
        finish: impl FnOnce(&ModuleLoader<E, C>, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        loader.load_in(place, &self.0, finish)
    }
}

pub(crate) struct Fetched<F> {
    pub(crate) hash: ModuleHash,
    pub(crate) fetch: F,
}

impl<W, X, F> Origin for Fetched<F>
where
    W: AsRef<[u8]> + 'static,
    X: Into<Box<dyn Error + Send + Sync>> + 'static,
    F: Fn() -> Result<W, X> + Send + Sync + 'static,
{
    fn hash(&self) -> ModuleHash {
        self.hash
    }

    fn load<E: Compile, C: ModuleCache<E>>(
        &self,
        loader: &ModuleLoader<E, C>,
        place: Place<'_>,
        finish: impl FnOnce(&ModuleLoader<E, C>, Completed<E::Module>) -> Option<Saved>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        loader.load_with_in(place, self.hash, &self.fetch, finish)
    }
}

impl<Fast: Compile, Best: Compile, C> TwoLoaders<Fast, Best, C> {
    /// Waits for the threads that save fast modules.
    pub(crate) fn finish_saves(&self) {
        let saves = mem::take(&mut *self.saves.lock());
        let is_here = |save: &JoinHandle<()>| save.thread().id() == thread::current().id();
        // One that dropped the loader would wait for itself, and may hold what others wait for.
        if !saves.iter().any(is_here) {
            for save in saves {
                let _ = save.join();
            }
        }
    }
}
