//! The cache folder of a command, or none, and a memory of what it could not do.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use module_cache::{
    ArtifactEngine, CacheError, CompilePermit, EntryKey, EntryStore, FileSystemCache, ModuleCache,
    ModuleHash, SaveOutcome, SealedEntry, SkipReason, open_entry,
};

use crate::messages;

/// Forwards to a cache folder, and keeps what a loader passes over: why a module is not in the cache after
/// it was loaded. Without a folder it has nothing and takes nothing.
#[derive(Debug)]
pub(crate) struct ReportingCache {
    folder: Option<FileSystemCache>,
    problems: Mutex<HashMap<ModuleHash, String>>,
}

impl ReportingCache {
    /// A cache in this folder, or none.
    pub(crate) fn new(folder: Option<FileSystemCache>) -> Self {
        Self {
            folder,
            problems: Mutex::default(),
        }
    }

    /// The folder, if there is one.
    pub(crate) fn folder(&self) -> Option<&FileSystemCache> {
        self.folder.as_ref()
    }

    /// What went wrong when the module was last loaded or saved.
    pub(crate) fn problem(&self, module: ModuleHash) -> Option<String> {
        self.problems().get(&module).cloned()
    }

    /// The size of the module's file in the cache, if it is there.
    pub(crate) fn entry_len(&self, key: &EntryKey) -> Option<u64> {
        let entry = EntryStore::get(self.folder.as_ref()?, key).ok()??;
        Some(entry.len())
    }

    fn problems(&self) -> MutexGuard<'_, HashMap<ModuleHash, String>> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the module is in the folder now.
    fn note_saved(
        &self,
        module: ModuleHash,
        outcome: Result<SaveOutcome, CacheError>,
    ) -> Result<SaveOutcome, CacheError> {
        let outcome = self.note(module, outcome)?;
        if let SaveOutcome::Skipped(reason) = outcome
            && reason != SkipReason::AlreadyStored
        {
            self.problems().insert(module, reason.to_string());
        }
        Ok(outcome)
    }

    /// Notes how an operation on the module ended.
    fn note<T>(&self, module: ModuleHash, outcome: Result<T, CacheError>) -> Result<T, CacheError> {
        let mut problems = self.problems();
        match &outcome {
            Ok(_) => problems.remove(&module),
            Err(error) => problems.insert(module, messages::with_causes(error)),
        };
        drop(problems);
        outcome
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E: ArtifactEngine> ModuleCache<E> for ReportingCache {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        self.note(key, self.folder.load(key, engine))
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.folder.contains(key, engine)
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let Some(folder) = &self.folder else {
            return Ok(SaveOutcome::Skipped(SkipReason::Absent));
        };
        self.note_saved(key, folder.save(key, engine, module))
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.folder.remove(key, engine)
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        self.folder.load_resident(key, engine)
    }

    fn compile_permit(&self, key: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        self.folder.compile_permit(key, engine)
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        self.folder.is_some().then_some(self)
    }

    fn load_sealed(
        &self,
        key: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        Ok(Some(open_entry(key, engine, entry)?))
    }

    fn flush(&self) -> Result<(), CacheError> {
        Ok(())
    }
}

/// How entries of a remote storage come into the folder.
#[deny(clippy::missing_trait_methods)]
impl EntryStore for ReportingCache {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        match &self.folder {
            Some(folder) => self.note(key.module(), folder.get(key)),
            None => Ok(None),
        }
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        match &self.folder {
            Some(folder) => self.note_saved(key.module(), folder.put(key, entry)),
            None => Ok(SaveOutcome::Skipped(SkipReason::Absent)),
        }
    }

    fn contains(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.folder
            .as_ref()
            .map_or(Ok(false), |folder| EntryStore::contains(folder, key))
    }

    fn remove(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.folder
            .as_ref()
            .map_or(Ok(false), |folder| EntryStore::remove(folder, key))
    }

    fn compile_permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        match &self.folder {
            Some(folder) => EntryStore::compile_permit(folder, key),
            None => Ok(CompilePermit::Uncoordinated),
        }
    }

    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        if let Some(folder) = &self.folder {
            folder.rejected(key, reason);
        }
    }

    fn flush(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
