//! The combinator: which side is asked first, what moves up, and whose errors count.

use module_cache_core::{
    CacheError, CompilePermit, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash, SaveOutcome,
    SealedEntry, SkipReason,
};

/// Puts a cache behind this one.
pub trait FallbackExt: Sized {
    /// Asks `fallback` for what this cache does not have, and keeps here what it finds there.
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
/// - **Promotion**: a hit in the fallback is saved in the primary. Where both keep sealed entries
///   ([`ModuleCache::entries`]), the bytes move up and are loaded from there, so that an entry is fetched
///   once and no module is serialized again. A promotion that fails never fails the hit: the module is then
///   made of the bytes that were fetched.
/// - **Errors**: one side's error does not hide what the other has. It is returned when the other has
///   nothing; when both fail, as [`CacheError::Both`].
/// - **Save** and **remove** go to both sides, and return any error.
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
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let above = self.primary.load(key, engine);
        if let Ok(Some(_)) = above {
            return above;
        }
        let span = tracing::debug_span!("fallback", hash = %key).entered();
        let below = match (self.primary.entries(), self.fallback.entries()) {
            (Some(to), Some(from)) => self.load_through_entries(key, engine, to, from),
            _ => self.load_through_module(key, engine),
        };
        // Here, and not at the end: a module on its way out would leak if a subscriber panicked then.
        drop(span);
        either(above, below, Option::is_some)
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let above = self.primary.contains(key, engine);
        if let Ok(true) = above {
            return above;
        }
        either(above, self.fallback.contains(key, engine), |&found| found)
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let above = self.primary.save(key, engine, module);
        let below = self.fallback.save(key, engine, module);
        let (above, below) = both(above, below)?;
        Ok(if kept(above) >= kept(below) {
            above
        } else {
            below
        })
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let above = self.primary.remove(key, engine);
        let (above, below) = both(above, self.fallback.remove(key, engine))?;
        Ok(above || below)
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        self.primary
            .load_resident(key, engine)
            .or_else(|| self.fallback.load_resident(key, engine))
    }

    fn compile_permit(&self, key: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        let above = self.primary.compile_permit(key, engine);
        if let Ok(CompilePermit::Held(_)) = above {
            return above;
        }
        match (above, self.fallback.compile_permit(key, engine)) {
            (Ok(above), Ok(below)) => Ok(above.and(below)),
            // A side that cannot say coordinates nothing; the other one's permit still counts.
            (Ok(permit), Err(error)) | (Err(error), Ok(permit)) => {
                tracing::warn!(hash = %key, %error, "one of two caches cannot give permits");
                Ok(permit)
            }
            (Err(above), Err(below)) => Err(both_failed(above, below)),
        }
    }

    /// The one side's that has any. Where both have, there is no one store that holds them all.
    fn entries(&self) -> Option<&dyn EntryStore> {
        match (self.primary.entries(), self.fallback.entries()) {
            (Some(_), Some(_)) => None,
            (above, below) => above.or(below),
        }
    }

    fn load_sealed(
        &self,
        key: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        if self.primary.entries().is_some() {
            return self.primary.load_sealed(key, engine, entry);
        }
        let loaded = self.fallback.load_sealed(key, engine, entry)?;
        if let Some(module) = &loaded {
            log_promotion(key, &self.primary.save(key, engine, module));
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
        key: ModuleHash,
        engine: &E,
        to: &dyn EntryStore,
        from: &dyn EntryStore,
    ) -> Result<Option<E::Module>, CacheError>
    where
        P: ModuleCache<E>,
        F: ModuleCache<E>,
    {
        let entry_key = EntryKey::new(key, *engine.id());
        let Some(entry) = from.get(&entry_key)? else {
            return Ok(None);
        };
        let promoted = to.put(&entry_key, &entry);
        log_promotion(key, &promoted);
        if let Ok(SaveOutcome::Stored { .. } | SaveOutcome::Skipped(SkipReason::AlreadyStored)) =
            promoted
        {
            match self.primary.load(key, engine) {
                Ok(Some(module)) => return Ok(Some(module)),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(hash = %key, %error, "cannot load what was just promoted");
                }
            }
        }
        self.primary
            .load_sealed(key, engine, entry)
            .or_else(|error| {
                from.rejected(&entry_key, &error);
                Ok(None)
            })
    }

    /// Loads from below and saves the module above.
    fn load_through_module<E: Engine>(
        &self,
        key: ModuleHash,
        engine: &E,
    ) -> Result<Option<E::Module>, CacheError>
    where
        P: ModuleCache<E>,
        F: ModuleCache<E>,
    {
        let found = self.fallback.load(key, engine)?;
        if let Some(module) = &found {
            log_promotion(key, &self.primary.save(key, engine, module));
        }
        Ok(found)
    }
}

/// All that comes of a promotion: a failed one never fails a hit.
fn log_promotion(key: ModuleHash, outcome: &Result<SaveOutcome, CacheError>) {
    match outcome {
        Ok(SaveOutcome::Stored { bytes }) => tracing::debug!(hash = %key, bytes, "promoted"),
        Ok(SaveOutcome::Skipped(reason)) => tracing::debug!(hash = %key, %reason, "not promoted"),
        Err(error) => tracing::debug!(hash = %key, %error, "cannot promote"),
    }
}

/// The answer of two sides of which one suffices, if it `found` something.
fn either<T>(
    above: Result<T, CacheError>,
    below: Result<T, CacheError>,
    found: impl FnOnce(&T) -> bool,
) -> Result<T, CacheError> {
    match (above, below) {
        (Err(above), Err(below)) => Err(both_failed(above, below)),
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
        (Err(above), Err(below)) => Err(both_failed(above, below)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

fn both_failed(primary: CacheError, fallback: CacheError) -> CacheError {
    CacheError::Both {
        primary: Box::new(primary),
        fallback: Box::new(fallback),
    }
}
