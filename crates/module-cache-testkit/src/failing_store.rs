//! A store that never works.

use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::{
    CacheError, CompilePermit, EntryKey, EntryStore, SaveOutcome, SealedEntry,
};

/// A store of which every call is an error, and counted.
#[derive(Debug, Default)]
pub struct FailingStore {
    calls: AtomicU64,
}

impl FailingStore {
    /// A store that has not failed yet.
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
            "failing store",
            operation,
            "it always fails",
        ))
    }
}

impl EntryStore for FailingStore {
    fn get(&self, _: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.fail("get")
    }

    fn put(&self, _: &EntryKey, _: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        self.fail("put")
    }

    fn contains(&self, _: &EntryKey) -> Result<bool, CacheError> {
        self.fail("look up")
    }

    fn remove(&self, _: &EntryKey) -> Result<bool, CacheError> {
        self.fail("remove")
    }

    fn compile_permit(&self, _: &EntryKey) -> Result<CompilePermit, CacheError> {
        self.fail("coordinate")
    }

    fn flush(&self) -> Result<(), CacheError> {
        self.fail("flush")
    }
}
