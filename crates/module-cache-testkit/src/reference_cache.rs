//! The simplest correct cache of live modules.

use std::collections::HashMap;
use std::fmt;

use module_cache_core::instance::InstanceId;
use module_cache_core::{CacheError, Engine, ModuleCache, ModuleHash, SaveOutcome, SkipReason};
use parking_lot::Mutex;

/// A map behind a lock: a model to compare other caches with. It never evicts.
pub struct ReferenceCache<E: Engine> {
    // Engines of equal instance have equal ids, so the id need not be in the key.
    modules: Mutex<HashMap<(ModuleHash, InstanceId), E::Module>>,
}

impl<E: Engine> ReferenceCache<E> {
    /// An empty cache.
    pub fn new() -> Self {
        Self {
            modules: Mutex::default(),
        }
    }

    /// How many modules it holds.
    pub fn len(&self) -> usize {
        self.modules.lock().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<E: Engine> ModuleCache<E> for ReferenceCache<E> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        Ok(self.load_resident(hash, engine))
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        Ok(self
            .modules
            .lock()
            .contains_key(&(hash, engine.instance().id())))
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let bytes = engine.weight(module).unwrap_or(0);
        let before = self
            .modules
            .lock()
            .insert((hash, engine.instance().id()), module.clone());
        Ok(match before {
            None => SaveOutcome::Stored { bytes },
            Some(_) => SaveOutcome::Skipped(SkipReason::AlreadyStored),
        })
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let removed = self.modules.lock().remove(&(hash, engine.instance().id()));
        Ok(removed.is_some())
    }

    fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
        self.modules
            .lock()
            .get(&(hash, engine.instance().id()))
            .cloned()
    }
}

impl<E: Engine> Default for ReferenceCache<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Engine> fmt::Debug for ReferenceCache<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReferenceCache")
            .field("len", &self.len())
            .finish()
    }
}
