//! A cache that never works.

use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::permit::CompilePermit;
use module_cache_core::{CacheError, Engine, ModuleCache, ModuleHash, SaveOutcome};

/// A cache whose calls all fail, and are counted. Nothing is resident.
#[derive(Debug, Default)]
pub struct FailingCache {
    calls: AtomicU64,
}

impl FailingCache {
    /// A cache that has not failed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls have failed.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn fail<T>(&self, operation: &'static str) -> Result<T, CacheError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(CacheError::backend(
            "failing cache",
            operation,
            "it always fails",
        ))
    }
}

impl<E: Engine> ModuleCache<E> for FailingCache {
    fn load(&self, _: ModuleHash, _: &E) -> Result<Option<E::Module>, CacheError> {
        self.fail("load")
    }

    fn contains(&self, _: ModuleHash, _: &E) -> Result<bool, CacheError> {
        self.fail("look up")
    }

    fn save(&self, _: ModuleHash, _: &E, _: &E::Module) -> Result<SaveOutcome, CacheError> {
        self.fail("save")
    }

    fn remove(&self, _: ModuleHash, _: &E) -> Result<bool, CacheError> {
        self.fail("remove")
    }

    fn compile_permit(&self, _: ModuleHash, _: &E) -> Result<CompilePermit, CacheError> {
        self.fail("coordinate")
    }

    fn flush(&self) -> Result<(), CacheError> {
        self.fail("flush")
    }
}
