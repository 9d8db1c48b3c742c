//! The cache itself: how an entry is found, verified, stored and removed.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use module_cache_core::{
    ArtifactEngine, CacheError, CacheStats, CompilePermit, Counters, EntryKey, EntryStore,
    ModuleCache, ModuleHash, SaveOutcome, SealedEntry, Trust, load_entry, open_entry, save_entry,
};

use crate::Verification;
use crate::builder::{FileSystemCacheBuilder, Verify};
use crate::directory::{Attributes, Directory};
use crate::hints::Hints;
use crate::ledger::{Books, Ledger};
use crate::open_entry::{OpenEntry, Refusal};
use crate::permit::{self, Silent};
use crate::{layout, publish};

/// A cache of modules in a directory.
///
/// Handles are cheap to clone, and any number of handles, threads and processes can use one folder at a
/// time. How it lies on disk, what is locked and what differs between platforms is said in the
/// [crate's documentation](crate).
///
/// - **Load**: `openat`, `fstat`, a `pread` of the footer and one of the hints, then the engine maps that
///   same descriptor. The first load since the machine started hashes the entry, too.
/// - **Save**: a temporary file is written, synced and renamed into place. A save where there is no room
///   or no right to write is [`Skipped`](SaveOutcome::Skipped).
/// - **Bad entries**: one that is damaged is deleted. One that is whole and cannot be used here (of another
///   module, key or format, not a regular file, others' property) stays, and is a miss; the next save
///   replaces it where it is a file.
#[derive(Debug, Clone)]
pub struct FileSystemCache {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    root: PathBuf,
    /// `<root>/v1`, opened once and examined then.
    pub(crate) directory: Directory,
    pub(crate) policy: Policy,
    pub(crate) hints: Option<Hints>,
    /// Where the folder is writable.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) silent: Silent,
    pub(crate) counters: Counters,
}

/// What was settled when the folder was opened.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) trust: Trust,
    /// Whether entries are mapped, or else copied into private memory.
    pub(crate) map: bool,
    pub(crate) max_size: u64,
    pub(crate) min_free: u64,
    pub(crate) max_age: Option<Duration>,
    pub(crate) verify: Verify,
    /// The user whose entries are accepted beside root's; `None` for everybody's.
    pub(crate) owner_check: Option<u32>,
}

impl FileSystemCache {
    /// Opens the folder `root` with default options, creating it if it does not exist.
    ///
    /// # Errors
    ///
    /// As for [`FileSystemCacheBuilder::open`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, CacheError> {
        Self::builder(root).open()
    }

    /// Options for opening the folder `root`.
    pub fn builder(root: impl Into<PathBuf>) -> FileSystemCacheBuilder {
        FileSystemCacheBuilder::new(root.into())
    }

    pub(crate) fn new(
        root: PathBuf,
        directory: Directory,
        policy: Policy,
        hints: Option<Hints>,
        ledger: Option<Ledger>,
    ) -> Self {
        let counters = Counters::default();
        Self {
            inner: Arc::new(Inner {
                root,
                directory,
                policy,
                hints,
                ledger,
                silent: Silent::default(),
                counters,
            }),
        }
    }

    /// The folder, with links resolved.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Whether saves can store anything here: the folder is this user's and not on a read-only file
    /// system.
    pub fn is_writable(&self) -> bool {
        self.inner.ledger.is_some()
    }

    /// What this handle and its clones have done so far.
    pub fn stats(&self) -> CacheStats {
        self.inner.counters.snapshot()
    }
}

impl<E: ArtifactEngine> ModuleCache<E> for FileSystemCache {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let loaded = load_entry(self, key, engine);
        match &loaded {
            Ok(Some(_)) => self.inner.counters.hit(),
            Ok(None) => self.inner.counters.miss(),
            Err(_) => {}
        }
        loaded
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        EntryStore::contains(self, &EntryKey::new(key, *engine.id()))
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        save_entry(self, key, engine, module)
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        EntryStore::remove(self, &EntryKey::new(key, *engine.id()))
    }

    fn compile_permit(&self, key: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        EntryStore::compile_permit(self, &EntryKey::new(key, *engine.id()))
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        Some(self)
    }

    fn load_sealed(
        &self,
        key: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        Ok(Some(open_entry(key, engine, entry)?))
    }
}

impl EntryStore for FileSystemCache {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let _span = tracing::debug_span!(
            "filesystem_get",
            hash = %key.module(),
            engine = %key.engine(),
        )
        .entered();
        let name = layout::entry(key);
        match self.inner.read(&name, key) {
            Ok(Ok(entry)) => {
                tracing::debug!(bytes = entry.len(), "entry found");
                Ok(Some(entry))
            }
            Ok(Err(refusal)) => {
                self.inner.refused(&name, &refusal);
                Ok(None)
            }
            Err(error) => Err(self.inner.error("read the entry", &name, error)),
        }
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        let _span = tracing::debug_span!(
            "filesystem_put",
            hash = %key.module(),
            engine = %key.engine(),
        )
        .entered();
        let inner = &*self.inner;
        if key != entry.key() {
            let error = io::Error::other("it is the entry of another key");
            return Err(inner.error("store the entry", &layout::entry(key), error));
        }
        let outcome = publish::publish(inner, key, entry)?;
        match outcome {
            SaveOutcome::Stored { bytes } => {
                inner.counters.saved(bytes);
                tracing::debug!(bytes, "entry stored");
            }
            SaveOutcome::Skipped(reason) => {
                inner.counters.skip();
                tracing::debug!(%reason, "entry not stored");
            }
        }
        Ok(outcome)
    }

    fn contains(&self, key: &EntryKey) -> Result<bool, CacheError> {
        let name = layout::entry(key);
        let opened = self.inner.open_entry(&name, key);
        opened
            .map(|opened| opened.is_ok())
            .map_err(|error| self.inner.error("examine the entry", &name, error))
    }

    fn remove(&self, key: &EntryKey) -> Result<bool, CacheError> {
        let name = layout::entry(key);
        self.inner
            .with_books(|books| books.remove(&name))
            .map_err(|error| self.inner.error("remove the entry", &name, error))
    }

    fn compile_permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        if self.inner.ledger.is_none() {
            return Ok(CompilePermit::Uncoordinated);
        }
        permit::ask(&self.inner, key)
            .map_err(|error| self.inner.error("lock", &layout::lock(key, 0), error))
    }

    /// The engine refused what its checksum vouches for. If that checksum was compared earlier this boot
    /// only, it is compared again: the file may have been damaged in memory since.
    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        let inner = &*self.inner;
        let name = layout::entry(key);
        if inner.policy.map
            && let Ok(Ok(opened)) = inner.open_entry(&name, key)
            && let Ok(Err(refusal)) = opened.verify(&inner.policy.trust)
        {
            inner.refused(&name, &refusal);
            return;
        }
        inner.counters.reject();
        tracing::warn!(
            hash = %key.module(),
            engine = %key.engine(),
            reason,
            "the engine refused a stored entry; it stays"
        );
    }
}

impl Inner {
    fn open_entry(&self, name: &str, key: &EntryKey) -> io::Result<Result<OpenEntry, Refusal>> {
        OpenEntry::open(
            &self.directory,
            name,
            key,
            &self.policy.trust,
            self.policy.owner_check,
        )
    }

    /// The hot path: opens, examines and, where that has not been done, verifies.
    fn read(
        &self,
        name: &str,
        key: &EntryKey,
    ) -> io::Result<Result<SealedEntry<'static>, Refusal>> {
        let entry = match self.open_entry(name, key)? {
            Ok(entry) => entry,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let hint = self.hints.as_ref().map(|hints| (hints, hints.find(key)));
        let record = |attributes: &Attributes, verified: bool| {
            if let Some((hints, hint)) = &hint {
                hints.record(hint, attributes, verified);
            }
        };
        if !self.policy.map {
            let attributes = *entry.attributes();
            let copy = entry.into_private_copy(&self.policy.trust, self.policy.max_size)?;
            if copy.is_ok() {
                record(&attributes, false);
            }
            return Ok(copy);
        }
        let known = match self.policy.verify {
            Verify::Never => true,
            Verify::When(Verification::Always) => false,
            Verify::When(Verification::OncePerBoot) => hint
                .as_ref()
                .is_some_and(|(hints, hint)| hints.is_verified(hint, entry.attributes())),
        };
        if !known && let Err(refusal) = entry.verify(&self.policy.trust)? {
            return Ok(Err(refusal));
        }
        record(entry.attributes(), !known);
        // SAFETY: the entry was verified just now; or earlier this boot, since when the file's time of
        // change shows that nobody wrote to it; or the caller of `never_verify` vouched for it. Only this
        // user or root can write to it, by the owner and mode that `open_entry` checked on this descriptor
        // (or by the promise made to `trust_folder`), and this crate never writes to a published file.
        Ok(Ok(unsafe { entry.into_mappable() }))
    }

    /// Counts and logs why an entry cannot be used, and deletes it if it is proven to be damaged.
    pub(crate) fn refused(&self, name: &str, refusal: &Refusal) {
        match refusal {
            Refusal::Missing => tracing::debug!(name, "no entry"),
            Refusal::Invalid { reason, inode } if reason.is_corrupt() => {
                self.counters.corrupt();
                // Another process may have put a good one in its place meanwhile.
                let unchanged = self
                    .directory
                    .attributes_of(name)
                    .is_ok_and(|found| found.inode == *inode);
                let removed = unchanged && self.remove_now(name);
                tracing::warn!(name, %reason, removed, "a stored entry is damaged");
            }
            Refusal::Invalid { reason, .. } => self.rejected_entry(name, reason),
            Refusal::Unusable(reason) => self.rejected_entry(name, reason),
        }
    }

    /// Does something under the lock of the books.
    pub(crate) fn with_books<T>(
        &self,
        act: impl FnOnce(&mut Books<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let ledger = self
            .ledger
            .as_ref()
            .ok_or(io::ErrorKind::ReadOnlyFilesystem)?;
        let books = ledger.lock(&self.directory)?;
        act(&mut books.ok_or(io::ErrorKind::ResourceBusy)?)
    }

    /// Removes an entry without waiting for anybody: a load must not. Where the books are in use, they say
    /// too much until the next count.
    fn remove_now(&self, name: &str) -> bool {
        let Some(ledger) = &self.ledger else {
            return false;
        };
        match ledger.lock_now(&self.directory) {
            Ok(Some(mut books)) => books.remove(name).unwrap_or(false),
            _ => self.directory.remove_file(name).is_ok(),
        }
    }

    fn rejected_entry(&self, name: &str, reason: &dyn std::fmt::Display) {
        self.counters.reject();
        tracing::warn!(name, %reason, "a stored entry cannot be used; it stays until a save replaces it");
    }

    pub(crate) fn error(
        &self,
        operation: &'static str,
        name: &str,
        error: io::Error,
    ) -> CacheError {
        self.counters.error();
        let mut path = self.directory.path().to_owned();
        path.extend((!name.is_empty()).then_some(name));
        CacheError::io(operation, path, error)
    }
}
