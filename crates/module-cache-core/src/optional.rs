//! A cache that may not be there.

use crate::{
    CacheError, CompilePermit, Engine, EntryStore, ModuleCache, ModuleHash, SaveOutcome,
    SealedEntry, SkipReason,
};

/// `None` is a cache that has nothing and takes nothing, so a program can go on without one that it could
/// not open.
#[deny(clippy::missing_trait_methods)]
impl<E: Engine, C: ModuleCache<E>> ModuleCache<E> for Option<C> {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        match self {
            Some(cache) => cache.load(key, engine),
            None => Ok(None),
        }
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        match self {
            Some(cache) => cache.contains(key, engine),
            None => Ok(false),
        }
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        match self {
            Some(cache) => cache.save(key, engine, module),
            None => Ok(SaveOutcome::Skipped(SkipReason::Absent)),
        }
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        match self {
            Some(cache) => cache.remove(key, engine),
            None => Ok(false),
        }
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        self.as_ref()?.load_resident(key, engine)
    }

    fn compile_permit(&self, key: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        match self {
            Some(cache) => cache.compile_permit(key, engine),
            None => Ok(CompilePermit::Uncoordinated),
        }
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        self.as_ref()?.entries()
    }

    fn load_sealed(
        &self,
        key: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        match self {
            Some(cache) => cache.load_sealed(key, engine, entry),
            None => Ok(None),
        }
    }

    fn flush(&self) -> Result<(), CacheError> {
        match self {
            Some(cache) => cache.flush(),
            None => Ok(()),
        }
    }
}
