//! The combinator: which cache is asked first, what is promoted, and which errors are returned.

use module_cache_core::entry::{Promotion, next_accepted};
use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    CacheError, Engine, EntryKey, EntryStore, FoundModule, ModuleCache, ModuleHash, SaveOutcome,
    SealedEntry, SkipReason,
};

/// Puts a cache behind this one.
pub trait FallbackExt: Sized {
    /// Looks up what this cache does not have in `fallback`, and keeps here what is found there.
    fn with_fallback<F>(self, fallback: F) -> FallbackCache<Self, F> {
        FallbackCache {
            primary: self,
            fallback,
        }
    }
}

impl<C> FallbackExt for C {}

/// A cache made of two: `primary` is asked first, `fallback` for what it does not have.
///
/// Made by [`FallbackExt::with_fallback`].
///
/// - **Promotion**: a hit in the fallback is saved in the primary. If both keep sealed entries ([`ModuleCache::entries`]),
///   the entry's bytes are copied to the primary and loaded from there, so that an entry is fetched once and no module is
///   serialized again; an entry keeps the [accepted id](module_cache_core::Engine::accepted_ids) that it was found under.
///   Otherwise the module itself is saved in the primary, in which storages take none that was found under an accepted id.
///   A failed promotion does not fail the hit: the module is then loaded from the bytes that were fetched.
/// - **Backfill**: a hit in the primary that is not resident is offered to the fallback, which may have lost it, if both
///   keep sealed entries ([`EntryStore::offer`]).
/// - **Errors**: an error of one cache does not hide what the other has. It is returned if the other has nothing; if both
///   fail, as [`CacheError::Both`].
/// - **Save** and **remove** go to both caches, and return any error. The outcome of a save is that of the
///   storages, or else of the cache that stored it.
/// - **Permits** are the primary's, then the fallback's.
#[derive(Debug, Clone, Copy)]
pub struct FallbackCache<P, F> {
    primary: P,
    fallback: F,
}

impl<P, F> FallbackCache<P, F> {
    /// The cache that is asked first.
    pub fn primary(&self) -> &P {
        &self.primary
    }

    /// The cache that is asked for what the first does not have.
    pub fn fallback(&self) -> &F {
        &self.fallback
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E: Engine, P: ModuleCache<E>, F: ModuleCache<E>> ModuleCache<E> for FallbackCache<P, F> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        Ok(self.find(hash, engine)?.map(|found| found.module))
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        if let Some(module) = self.primary.load_resident(hash, engine) {
            return Ok(Some(FoundModule::own(module)));
        }
        let above = self.primary.find(hash, engine);
        if let Ok(Some(found)) = &above {
            if let (Some(from), Some(to)) = (self.primary.entries(), self.fallback.entries()) {
                let id = found.accepted_id.as_ref().unwrap_or(engine.id());
                to.offer(&EntryKey::new(hash, *id), from);
            }
            return above;
        }
        let span = tracing::debug_span!("fallback", %hash).entered();
        let below = match (self.primary.entries(), self.fallback.entries()) {
            (Some(to), Some(from)) => self.load_through_entries(hash, engine, to, from),
            _ => self.load_through_module(hash, engine),
        };
        // Here, and not at the end: a module on its way out would leak if a subscriber panicked then.
        drop(span);
        either(above, below, Option::is_some)
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let above = self.primary.contains(hash, engine);
        if let Ok(true) = above {
            return above;
        }
        either(above, self.fallback.contains(hash, engine), |&found| found)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let above = self.primary.save(hash, engine, module);
        let key = EntryKey::new(hash, *engine.id());
        let passed_on = match (&above, self.primary.entries(), self.fallback.entries()) {
            (Ok(SaveOutcome::Stored { .. }), Some(from), Some(to)) => pass_on(&key, from, to),
            _ => None,
        };
        let below = passed_on.unwrap_or_else(|| self.fallback.save(hash, engine, module));
        let (above, below) = both(above, below)?;
        let stored = [self.primary.storages(), self.fallback.storages()];
        Ok(match stored.map(|storages| !storages.is_empty()) {
            [true, false] => above,
            [false, true] => below,
            _ if kept(above) >= kept(below) => above,
            _ => below,
        })
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let above = self.primary.remove(hash, engine);
        let (above, below) = both(above, self.fallback.remove(hash, engine))?;
        Ok(above || below)
    }

    fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
        self.primary
            .load_resident(hash, engine)
            .or_else(|| self.fallback.load_resident(hash, engine))
    }

    fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        let above = self.primary.compile_permit(hash, engine);
        if let Ok(CompilePermit::Held(_)) = above {
            return above;
        }
        match (above, self.fallback.compile_permit(hash, engine)) {
            (Ok(above), Ok(below)) => Ok(above.and(below)),
            // A side that cannot say coordinates nothing; the other one's permit still counts.
            (Ok(permit), Err(error)) | (Err(error), Ok(permit)) => {
                tracing::warn!(%hash, %error, "one of two caches cannot issue permits");
                Ok(permit)
            }
            (Err(above), Err(below)) => Err(CacheError::both(above, below)),
        }
    }

    /// The one storage of both sides. Where there are more, none holds all entries.
    fn entries(&self) -> Option<&dyn EntryStore> {
        match self.storages()[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    fn storages(&self) -> Vec<&dyn EntryStore> {
        let mut storages = self.primary.storages();
        storages.extend(self.fallback.storages());
        storages
    }

    fn load_sealed(
        &self,
        hash: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        if self.primary.entries().is_some() {
            return self.primary.load_sealed(hash, engine, entry);
        }
        let loaded = self.fallback.load_sealed(hash, engine, entry)?;
        if let Some(module) = &loaded {
            log_promotion(hash, &self.primary.save(hash, engine, module));
        }
        Ok(loaded)
    }

    fn flush(&self) -> Result<(), CacheError> {
        both(self.primary.flush(), self.fallback.flush()).map(drop)
    }
}

impl<P, F> FallbackCache<P, F> {
    /// Moves the sealed bytes up, then loads them from above; or from the entry in hand, if above it is not.
    fn load_through_entries<E: Engine>(
        &self,
        hash: ModuleHash,
        engine: &E,
        to: &dyn EntryStore,
        from: &dyn EntryStore,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError>
    where
        P: ModuleCache<E>,
        F: ModuleCache<E>,
    {
        let mut next = Some((EntryKey::new(hash, *engine.id()), engine.accepted_ids()));
        while let Some((key, accepted)) = next {
            let Some(promotion) = from.promote(&key, accepted, to)? else {
                break;
            };
            next = next_accepted(&promotion.key, &key, accepted);
            let loaded = self.load_promoted(engine, from, promotion)?;
            if loaded.is_some() {
                return Ok(loaded);
            }
        }
        Ok(None)
    }

    /// Loads what was moved up.
    fn load_promoted<E: Engine>(
        &self,
        engine: &E,
        from: &dyn EntryStore,
        promotion: Promotion,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError>
    where
        P: ModuleCache<E>,
        F: ModuleCache<E>,
    {
        let (key, promoted) = (promotion.key, promotion.outcome);
        let hash = key.hash();
        log_promotion(hash, &promoted);
        if let Ok(SaveOutcome::Skipped(
            reason @ (SkipReason::NoSpace | SkipReason::TooLarge | SkipReason::Occupied),
        )) = promoted
        {
            tracing::warn!(%hash, %reason, "cannot keep an entry that was fetched");
        }
        if let Ok(SaveOutcome::Stored { .. } | SaveOutcome::Skipped(SkipReason::AlreadyStored)) =
            promoted
        {
            match self.primary.find(hash, engine) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%hash, %error, "cannot load an entry that was just promoted");
                }
            }
        }
        // What was kept above, and cannot be loaded there, is still below.
        let entry = match promotion.entry {
            Some(entry) => Some(entry),
            None => from.get(&key)?,
        };
        let Some(entry) = entry else {
            return Ok(None);
        };
        match self.primary.load_sealed(hash, engine, entry) {
            Ok(module) => Ok(module.map(|module| FoundModule::of_entry(module, &key, engine))),
            Err(error) => {
                from.rejected(&key, &error);
                Ok(None)
            }
        }
    }

    /// Loads from below and saves the module above. Memory keeps it; a storage refuses what was found under an accepted
    /// id, as the engine does not serialize that.
    fn load_through_module<E: Engine>(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError>
    where
        P: ModuleCache<E>,
        F: ModuleCache<E>,
    {
        let found = self.fallback.find(hash, engine)?;
        if let Some(found) = &found {
            log_promotion(hash, &self.primary.save(hash, engine, &found.module));
        }
        Ok(found)
    }
}

/// Stores below what was just stored above, so that a module is serialized once; `None` if that is not to be had, or not
/// what the lower store takes, as where each has a key of its own.
fn pass_on(
    key: &EntryKey,
    from: &dyn EntryStore,
    to: &dyn EntryStore,
) -> Option<Result<SaveOutcome, CacheError>> {
    let entry = from.get(key).ok().flatten()?;
    to.put(key, &entry).ok().map(Ok)
}

/// All that comes of a promotion: a failed one never fails a hit.
fn log_promotion(hash: ModuleHash, outcome: &Result<SaveOutcome, CacheError>) {
    match outcome {
        Ok(SaveOutcome::Stored { bytes }) => tracing::debug!(%hash, bytes, "promoted"),
        Ok(SaveOutcome::Skipped(reason)) => tracing::debug!(%hash, %reason, "not promoted"),
        Err(error) => tracing::debug!(%hash, %error, "cannot promote an entry"),
    }
}

/// The answer of two sides of which one suffices, if it `found` something.
fn either<T>(
    above: Result<T, CacheError>,
    below: Result<T, CacheError>,
    found: impl FnOnce(&T) -> bool,
) -> Result<T, CacheError> {
    match (above, below) {
        (Err(above), Err(below)) => Err(CacheError::both(above, below)),
        (Err(above), Ok(below)) if !found(&below) => Err(above),
        (_, below) => below,
    }
}

/// How well a side keeps the module after a save: newly, as before, or not.
fn kept(outcome: SaveOutcome) -> u8 {
    match outcome {
        SaveOutcome::Stored { .. } => 2,
        SaveOutcome::Skipped(SkipReason::AlreadyStored) => 1,
        SaveOutcome::Skipped(_) => 0,
    }
}

/// The answers of two sides that must both succeed.
fn both<T>(
    above: Result<T, CacheError>,
    below: Result<T, CacheError>,
) -> Result<(T, T), CacheError> {
    match (above, below) {
        (Ok(above), Ok(below)) => Ok((above, below)),
        (Err(above), Err(below)) => Err(CacheError::both(above, below)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}
