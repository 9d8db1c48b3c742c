//! The end of the chain of storages, and all of it where no feature adds one.

use module_cache_core::{CacheError, Engine, ModuleCache, ModuleHash, SaveOutcome, SkipReason};

/// A cache that keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoStorage;

impl<E: Engine> ModuleCache<E> for NoStorage {
    fn load(&self, _: ModuleHash, _: &E) -> Result<Option<E::Module>, CacheError> {
        Ok(None)
    }

    fn contains(&self, _: ModuleHash, _: &E) -> Result<bool, CacheError> {
        Ok(false)
    }

    fn save(&self, _: ModuleHash, _: &E, _: &E::Module) -> Result<SaveOutcome, CacheError> {
        Ok(SaveOutcome::Skipped(SkipReason::NoSpace))
    }

    fn remove(&self, _: ModuleHash, _: &E) -> Result<bool, CacheError> {
        Ok(false)
    }
}
