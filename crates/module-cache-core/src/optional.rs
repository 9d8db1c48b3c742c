//! A cache that may not be there.

use crate::permit::CompilePermit;
use crate::{
    CacheError, Engine, EntryStore, FoundModule, ModuleCache, ModuleHash, SaveOutcome, SealedEntry,
    SkipReason,
};

/// `None` is a cache that has nothing and stores nothing, so a program can go on without a cache that it could not open.
#[deny(clippy::missing_trait_methods)]
impl<E: Engine, C: ModuleCache<E>> ModuleCache<E> for Option<C> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        match self {
            Some(cache) => cache.load(hash, engine),
            None => Ok(None),
        }
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        match self {
            Some(cache) => cache.find(hash, engine),
            None => Ok(None),
        }
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        match self {
            Some(cache) => cache.contains(hash, engine),
            None => Ok(false),
        }
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        match self {
            Some(cache) => cache.save(hash, engine, module),
            None => Ok(SaveOutcome::Skipped(SkipReason::Absent)),
        }
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        match self {
            Some(cache) => cache.remove(hash, engine),
            None => Ok(false),
        }
    }

    fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
        self.as_ref()?.load_resident(hash, engine)
    }

    fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        match self {
            Some(cache) => cache.compile_permit(hash, engine),
            None => Ok(CompilePermit::Uncoordinated),
        }
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        self.as_ref()?.entries()
    }

    fn storages(&self) -> Vec<&dyn EntryStore> {
        self.as_ref().map_or_else(Vec::new, C::storages)
    }

    fn load_sealed(
        &self,
        hash: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        match self {
            Some(cache) => cache.load_sealed(hash, engine, entry),
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
