//! The folder as it was opened: how entries in it are found, read, refused and removed.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use module_cache_core::{CacheError, Counters, EntryKey, SealedEntry, Trust};

use crate::Verification;
use crate::directory::{Attributes, Directory};
use crate::heartbeat::Silent;
use crate::hints::Hints;
use crate::ledger::{Ledger, LedgerGuard};
use crate::open_entry::{OpenEntry, Refusal};

#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) root: PathBuf,
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

/// [`Verification`], and what it takes an unsafe call to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    When(Verification),
    Never,
}

impl Folder {
    pub(crate) fn open_entry(
        &self,
        name: &str,
        key: &EntryKey,
    ) -> io::Result<Result<OpenEntry, Refusal>> {
        OpenEntry::open(
            &self.directory,
            name,
            key,
            &self.policy.trust,
            self.policy.owner_check,
        )
    }

    /// The hot path: opens, examines and, where that has not been done, verifies.
    pub(crate) fn read(
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
        // (or by the promise made to `skip_permission_checks`), and this crate never writes to a published file.
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

    /// Removes an entry, if it is there, and returns how many bytes it took, in whole blocks.
    pub(crate) fn remove(&self, name: &str) -> io::Result<Option<u64>> {
        self.with_ledger(|guard| guard.remove(name))
    }

    /// Removes an entry without waiting for anybody: a load must not. Where the ledger is in use, it says
    /// too much until the next count.
    fn remove_now(&self, name: &str) -> bool {
        let Some(ledger) = &self.ledger else {
            return false;
        };
        match ledger.lock_now(&self.directory) {
            Ok(Some(mut guard)) => guard.remove(name).is_ok_and(|freed| freed.is_some()),
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
