//! The cache itself: how an entry is found, verified, stored and removed.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;

use module_cache_core::entry::{has_entry, load_entry, open_entry, save_entry};
use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    ArtifactEngine, CacheError, CacheStats, EntryKey, EntryStore, FoundModule, ModuleCache,
    ModuleHash, SaveOutcome, SealedEntry,
};

use crate::folder::Folder;
use crate::{layout, limit, permit, publish};

/// A cache of modules in a directory.
///
/// Handles are cheap to clone, and any number of handles, threads and processes can use one folder at a time. The [crate's
/// documentation](crate) describes the layout on disk, locking, and the differences between platforms.
///
/// - **Load**: `openat`, `fstat`, a `pread` of the footer and one of the hints, then the engine maps that same descriptor.
///   An entry of 64 KiB or less is read with its footer instead, in one call. The first load since the file system was
///   mounted also hashes the entry. On a miss, the same is done for each id that the engine
///   [accepts](module_cache_core::Engine::accepted_ids).
/// - **Save**: a temporary file is written, synced unless the entry was fetched, and renamed into place. If there is no
///   room or the folder is not writable, the outcome is [`Skipped`](SaveOutcome::Skipped).
/// - **Bad entries**: a damaged entry is deleted. An undamaged one that cannot be used here (of another module, key or
///   format, not a regular file, owned by another user, or on a bad sector) stays, and is a miss; after that load, a save
///   replaces it if it is a file. A sector that went bad after an entry of more than 64 KiB was verified is
///   found by [`verify`](Self::verify), or after the next mount: until then, reading it through a mapping kills the process
///   (`SIGBUS`).
#[derive(Debug, Clone)]
pub struct FileSystemCache {
    pub(crate) folder: Arc<Folder>,
}

impl FileSystemCache {
    /// The folder, with links resolved.
    pub fn root(&self) -> &Path {
        &self.folder.root
    }

    /// Whether saves can store anything here: this user owns the folder, and its file system is not read-only.
    pub fn is_writable(&self) -> bool {
        self.folder.ledger.is_some()
    }

    /// The limit of the folder in bytes, which all programs that use it obey.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn max_size(&self) -> Result<u64, CacheError> {
        self.folder.max_size().map_err(|error| {
            self.folder
                .error("read the limit", layout::LIMIT_FILE, error)
        })
    }

    /// Sets the limit of the folder in bytes, for all programs that use it, as
    /// [`FileSystemCacheBuilder::max_size`](crate::FileSystemCacheBuilder::max_size) does.
    ///
    /// ```
    /// use module_cache_filesystem::FileSystemCache;
    /// # let folder = tempfile::tempdir()?;
    /// # let folder = folder.path().join("modules");
    ///
    /// let server = FileSystemCache::open(&folder)?;
    /// FileSystemCache::open(&folder)?.set_max_size(100 << 30)?;
    /// assert_eq!(server.max_size()?, 100 << 30);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the folder is not writable, or stays locked by others.
    pub fn set_max_size(&self, bytes: u64) -> Result<(), CacheError> {
        let folder = &*self.folder;
        if folder.max_size().is_ok_and(|limit| limit == bytes) {
            return Ok(());
        }
        folder
            .with_ledger(|guard| limit::write(&folder.directory, guard, bytes))
            .map_err(|error| folder.error("set the limit", layout::LIMIT_FILE, error))
    }

    /// What this handle and its clones have done so far.
    pub fn stats(&self) -> CacheStats {
        self.folder.counters.snapshot()
    }
}

impl<E: ArtifactEngine> ModuleCache<E> for FileSystemCache {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        Ok(self.find(hash, engine)?.map(|found| found.module))
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        let found = load_entry(self, hash, engine);
        match &found {
            Ok(Some(_)) => self.folder.counters.hit(),
            Ok(None) => {
                self.folder.counters.miss();
                self.log_miss(hash, engine);
            }
            Err(_) => {}
        }
        found
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        has_entry(self, hash, engine)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        save_entry(self, hash, engine, module)
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.delete(&EntryKey::new(hash, *engine.id()))
    }

    fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        self.permit(&EntryKey::new(hash, *engine.id()))
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        Some(self)
    }

    fn load_sealed(
        &self,
        hash: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        Ok(Some(open_entry(hash, engine, entry)?))
    }
}

impl EntryStore for FileSystemCache {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let _span = tracing::debug_span!(
            "filesystem_get",
            hash = %key.hash(),
            engine = %key.engine(),
        )
        .entered();
        let name = || layout::entry(key);
        match self.folder.read(key) {
            Ok(Ok(entry)) => {
                tracing::debug!(bytes = entry.len(), "entry found");
                Ok(Some(entry))
            }
            Ok(Err(refusal)) => {
                self.folder.refused(&name(), &refusal);
                Ok(None)
            }
            Err(error) => Err(self.folder.error("read the entry", &name(), error)),
        }
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        let _span = tracing::debug_span!(
            "filesystem_put",
            hash = %key.hash(),
            engine = %key.engine(),
        )
        .entered();
        let folder = &*self.folder;
        if key != entry.key() {
            let error = io::Error::other("it is the entry of another key");
            return Err(folder.error("store the entry", &layout::entry(key), error));
        }
        let outcome = publish::publish(folder, key, entry)?;
        match outcome {
            SaveOutcome::Stored { bytes } => {
                folder.counters.saved(bytes);
                tracing::debug!(bytes, "entry stored");
            }
            SaveOutcome::Skipped(reason) => {
                folder.counters.skip();
                tracing::debug!(%reason, "entry not stored");
            }
        }
        Ok(outcome)
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        // A save is not left out for what lies in a folder that was moved away.
        let opened = self.folder.open_anew(key);
        let opened = opened.map(|opened| {
            opened.is_ok_and(|(_, entry)| {
                let attributes = entry.sight(None).attributes;
                entry.check_signature(&self.folder.policy).is_ok()
                    && !self.folder.is_damaged(&layout::entry(key), &attributes)
            })
        });
        opened.map_err(|error| {
            let name = layout::entry(key);
            self.folder.error("examine the entry", &name, error)
        })
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        let name = layout::entry(key);
        self.folder
            .remove(&name, None)
            .map(|freed| freed.is_some())
            .map_err(|error| self.folder.error("remove the entry", &name, error))
    }

    fn permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        if self.folder.ledger.is_none() {
            return Ok(CompilePermit::Uncoordinated);
        }
        permit::ask(&self.folder, key)
            .map_err(|error| self.folder.error("lock", &layout::lock(key, 0), error))
    }

    fn handle(&self) -> Option<Box<dyn EntryStore + Send + Sync>> {
        Some(Box::new(self.clone()))
    }

    /// The engine refused what its checksum vouches for. If that checksum was compared earlier this boot
    /// only, it is compared again: the file may have been damaged in memory since.
    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        let folder = &*self.folder;
        if !folder.policy.trust.is_signed() {
            if let Ok(Ok((_, opened))) = folder.open_entry(key) {
                if let Err(refusal) = opened.verify(folder.policy.trust_in(opened.key_id())) {
                    folder.refused(&layout::entry(key), &refusal);
                    return;
                }
            }
        }
        folder.counters.reject();
        tracing::warn!(
            hash = %key.hash(),
            engine = %key.engine(),
            reason,
            "the engine refused a stored entry; it stays"
        );
    }
}
