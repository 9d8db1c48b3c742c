//! The folder as it was opened: how entries in it are found, read, refused and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use module_cache_core::{CacheError, Counters, EngineId, EntryKey, ModuleHash, SealedEntry};
use parking_lot::Mutex;

use crate::directory::{Attributes, Directory};
use crate::engine_folder::{self, EngineFolder, EngineFolders};
use crate::heartbeat::Silent;
use crate::hints::{Hints, Known};
use crate::ledger::{Ledger, LedgerGuard};
use crate::open_entry::{self, OpenEntry, Refusal};
use crate::policy::{Map, Policy, Verify};
use crate::scan::{self, Listing};
use crate::{Verification, layout, limit, temporary};

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
    /// `<root>/v1`, opened once and examined then.
    pub(crate) directory: Directory,
    pub(crate) engines: EngineFolders,
    pub(crate) policy: Policy,
    pub(crate) hints: Option<Hints>,
    /// Where the folder is writable.
    pub(crate) ledger: Option<Ledger>,
    pub(crate) silent: Silent,
    pub(crate) counters: Counters,
    /// The limit, and of which file.
    pub(crate) limit: Mutex<Option<(Attributes, u64)>>,
    /// Names of entries that could not be removed when they should leave.
    pub(crate) stuck: Mutex<BTreeSet<String>>,
    /// Damaged entries that could not be removed, by their names: no save takes them for stored.
    pub(crate) damaged: Mutex<BTreeMap<String, Attributes>>,
}

impl Folder {
    pub(crate) fn open_entry(
        &self,
        key: &EntryKey,
    ) -> io::Result<Result<(Arc<EngineFolder>, OpenEntry), Refusal>> {
        if let Some(folder) = self.engines.known(key.engine()) {
            match self.open_in(&folder, key)? {
                Err(Refusal::Missing) if !folder.is_current(&self.directory) => {}
                opened => return Ok(opened.map(|entry| (folder, entry))),
            }
        }
        self.open_anew(key)
    }

    /// The same, and not in a folder of the engine that was moved away.
    pub(crate) fn open_anew(
        &self,
        key: &EntryKey,
    ) -> io::Result<Result<(Arc<EngineFolder>, OpenEntry), Refusal>> {
        match self.engine_folder(key.engine())? {
            Ok(folder) => {
                let opened = self.open_in(&folder, key)?;
                Ok(opened.map(|entry| (folder, entry)))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The folder of an engine as its name stands for it now.
    pub(crate) fn engine_folder(
        &self,
        engine: &EngineId,
    ) -> io::Result<Result<Arc<EngineFolder>, Refusal>> {
        if let Some(folder) = self.engines.known(engine) {
            if folder.is_current(&self.directory) {
                return Ok(Ok(folder));
            }
        }
        let name = layout::engine_dir(engine);
        let opened = engine_folder::open(&self.directory, &name, self.policy.owner_check)?;
        Ok(opened.map(|(directory, attributes)| {
            let folder = EngineFolder::new(name, directory, attributes);
            self.engines.keep(engine, folder)
        }))
    }

    fn open_in(
        &self,
        folder: &EngineFolder,
        key: &EntryKey,
    ) -> io::Result<Result<OpenEntry, Refusal>> {
        let policy = &self.policy;
        let leaf = layout::leaf(key);
        let opened = OpenEntry::open(&folder.directory, &leaf, key, policy)?;
        if let Ok(entry) = &opened {
            if entry.is_large() && !self.max_size().is_ok_and(|max| entry.len() <= max) {
                let reason = "it is larger than the limit of the cache";
                return Ok(Err(Refusal::Unusable(reason.into())));
            }
        }
        Ok(opened)
    }

    /// Looks at everything that is there.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        scan::list(&self.directory, self.policy.owner_check)
    }

    /// Opens what stands in the place of an entry that was listed.
    pub(crate) fn open_listed(
        &self,
        engine: &str,
        hash: ModuleHash,
    ) -> io::Result<Result<(File, Attributes), Refusal>> {
        let owner_check = self.policy.owner_check;
        match engine_folder::open(&self.directory, engine, owner_check)? {
            Ok((folder, _)) => open_entry::open_file(&folder, &hash.to_string(), owner_check),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The hot path: opens, examines and, where that has not been done, verifies.
    pub(crate) fn read(&self, key: &EntryKey) -> io::Result<Result<SealedEntry<'static>, Refusal>> {
        let (folder, entry) = match self.open_entry(key)? {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let sight = entry.sight(folder.session);
        let hint = self.hints.as_ref().map(|hints| (hints, hints.find(key)));
        let has = |known| {
            let hint = hint.as_ref();
            hint.is_some_and(|(_, hint)| hint.has(&sight, known))
        };
        let known = has(Known::Verified);
        // Under which trust the entry was verified is not remembered.
        if self.policy.origins.is_some() {
            if let Err(refusal) = entry.check_signature(&self.policy) {
                return Ok(Err(refusal));
            }
        }
        let record = |known: &[Known]| {
            if let Some((hints, hint)) = &hint {
                hints.record(hint, &sight, known);
            }
        };
        let map = match self.policy.map_on(folder.storage) {
            Map::All => true,
            Map::Own => known || has(Known::Written),
            Map::None => false,
        };
        if !map || !folder.holds(&sight.attributes) {
            let copy = entry.into_private_copy(&self.policy)?;
            if copy.is_ok() {
                record(&[]);
            }
            return Ok(copy);
        }
        let known = match self.policy.verify {
            Verify::Never => true,
            Verify::When(Verification::Always) => false,
            Verify::When(Verification::OncePerMount) => known,
        };
        if !known {
            if let Err(refusal) = entry.verify(self.policy.trust_in(entry.key_id())) {
                return Ok(Err(refusal));
            }
        }
        record(if known || !sight.is_settled() {
            &[]
        } else {
            &[Known::Verified]
        });
        // SAFETY: the entry was verified just now; or earlier this boot on this mount, since when the file's time of
        // change shows that nobody wrote to it; or the caller of `never_verify` vouched for it. Only this
        // user or root can write to it, by the owner and mode that `open_entry` checked on this descriptor and on that
        // of its folder (or by the promise made to `skip_permission_checks`), and this crate never writes to a published
        // file.
        Ok(Ok(unsafe { entry.into_verified() }))
    }

    /// Counts and logs why an entry cannot be used, and deletes it if it is proven to be damaged.
    pub(crate) fn refused(&self, name: &str, refusal: &Refusal) {
        match refusal {
            Refusal::Missing => tracing::debug!(name, "no entry"),
            Refusal::Invalid { reason, attributes } if reason.is_corrupt() => {
                self.counters.corrupt();
                let removed = self.remove_now(name, attributes);
                if !removed && self.stays_damaged(name, attributes) {
                    tracing::debug!(name, %reason, "a damaged entry is still there");
                } else {
                    tracing::warn!(name, %reason, removed, "a stored entry is damaged");
                }
            }
            Refusal::Invalid { reason, .. } => self.rejected_entry(name, reason),
            Refusal::Unusable(reason) => self.rejected_entry(name, reason),
            Refusal::Unreadable { error, attributes } => {
                self.stays_damaged(name, attributes);
                self.rejected_entry(name, &format_args!("it cannot be read: {error}"));
            }
        }
    }

    /// Remembers a damaged entry that was not removed, for a save to replace it, and says whether it was known.
    pub(crate) fn stays_damaged(&self, name: &str, attributes: &Attributes) -> bool {
        let mut damaged = self.damaged.lock();
        damaged.insert(name.to_owned(), *attributes) == Some(*attributes)
    }

    /// Whether a load found an entry with these attributes to be damaged, and did not remove it.
    pub(crate) fn is_damaged(&self, name: &str, attributes: &Attributes) -> bool {
        self.damaged.lock().get(name) == Some(attributes)
    }

    /// What the folder may take. The file is read again when it was replaced.
    pub(crate) fn max_size(&self) -> io::Result<u64> {
        let attributes = match self.directory.attributes_of(layout::LIMIT_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(limit::DEFAULT),
            attributes => attributes?,
        };
        let mut known = self.limit.lock();
        if let Some((seen, bytes)) = *known {
            if seen == attributes {
                return Ok(bytes);
            }
        }
        let bytes = limit::read(&self.directory)?;
        *known = Some((attributes, bytes));
        Ok(bytes)
    }

    /// Does something under the lock of the ledger.
    pub(crate) fn with_ledger<T>(
        &self,
        act: impl FnOnce(&mut LedgerGuard<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let ledger = self
            .ledger
            .as_ref()
            .ok_or(io::ErrorKind::ReadOnlyFilesystem)?;
        let guard = ledger.lock(&self.directory)?;
        act(&mut guard.ok_or(io::ErrorKind::ResourceBusy)?)
    }

    /// Removes an entry, if it is there, and returns how many bytes it took, in whole blocks. Where `only` is given, a
    /// file with other attributes stays.
    pub(crate) fn remove(&self, name: &str, only: Option<&Attributes>) -> io::Result<Option<u64>> {
        self.with_ledger(|guard| match guard.remove(name, only) {
            Err(error) if Directory::is_in_use(&error) => {
                guard.take_away(name, only, |folder, leaf| {
                    temporary::put_aside(&self.directory, folder, leaf)
                })
            }
            outcome => outcome,
        })
    }

    /// Removes a damaged entry without waiting for anybody: a load must not. Where the ledger is in use it stays, for the
    /// next load or save.
    fn remove_now(&self, name: &str, damaged: &Attributes) -> bool {
        let Some(ledger) = &self.ledger else {
            return false;
        };
        match ledger.lock_now(&self.directory) {
            Ok(Some(mut guard)) => guard
                .remove(name, Some(damaged))
                .is_ok_and(|freed| freed.is_some()),
            _ => false,
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
        self.uncounted_error(operation, name, error)
    }

    /// The same of an error that is not the folder's.
    pub(crate) fn uncounted_error(
        &self,
        operation: &'static str,
        name: &str,
        error: io::Error,
    ) -> CacheError {
        let mut path = self.directory.path().to_owned();
        path.extend((!name.is_empty()).then_some(name));
        CacheError::io(operation, path, error)
    }
}
