//! Checking everything that is stored, at the speed of the hash.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use module_cache_core::InvalidEntry;
use module_cache_core::format::Seal;
use parking_lot::Mutex;

use crate::directory::{Attributes, Directory};
use crate::folder::Folder;
use crate::open_entry::{Refusal, footer_of};
use crate::positional::read_exact_at;
use crate::scan::{Listed, Listing};

/// What [`FileSystemCache::verify`](crate::FileSystemCache::verify) found.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// The number of entries that were verified.
    pub entries: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The faulty entries, ordered by path.
    pub faults: Vec<Fault>,
}

/// An entry that cannot be used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Fault {
    /// Its file.
    pub path: PathBuf,
    /// What is wrong with it, and why it could not be removed where it should have been.
    pub reason: String,
    /// Whether it was removed.
    pub removed: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = if self.removed { " (removed)" } else { "" };
        write!(out, "{}: {}{removed}", self.path.display(), self.reason)
    }
}

pub(crate) fn verify(
    folder: &Folder,
    listing: &Listing,
    repair: bool,
    progress: &(dyn Fn(u64) + Sync),
) -> VerifyReport {
    let entries = &listing.entries;
    let next = AtomicUsize::new(0);
    let bytes = AtomicU64::new(0);
    let faults = Mutex::new(Vec::new());
    let work = || {
        while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(failure) = check(folder, entry) {
                faults
                    .lock()
                    .push(failure.into_fault(folder, entry, repair));
            }
            bytes.fetch_add(entry.attributes.size, Ordering::Relaxed);
            progress(entry.attributes.size);
        }
    };
    // Hashing one entry uses all cores where it is large; many small ones are shared out.
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..cores.min(entries.len()) {
            // A thread that cannot be started is done without.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let mut faults = faults.into_inner();
    // One that cannot be looked at is in no list.
    faults.extend(listing.incomplete.as_ref().map(|(name, error)| Fault {
        path: folder.directory.path().join(name),
        reason: format!("it cannot be examined: {error}"),
        removed: false,
    }));
    faults.sort_by(|a: &Fault, b| a.path.cmp(&b.path));
    VerifyReport {
        entries: entries.len() as u64,
        bytes: bytes.into_inner(),
        faults,
    }
}

/// Why an entry fails.
struct Failure {
    reason: String,
    /// What it was, where that is reason enough to remove it.
    useless: Option<Attributes>,
}

impl Failure {
    /// Makes the file look changed, so that no process takes it for what it verified before, and saves here replace it.
    fn mark(mut self, folder: &Folder, entry: &Listed, file: &File) -> Self {
        let marked = match &folder.ledger {
            Some(_) => Directory::seal_permissions(file),
            None => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        };
        match marked.and_then(|()| Directory::attributes_of_file(file)) {
            Ok(attributes) => {
                folder.stays_damaged(&entry.name(), &attributes);
                self.useless = self.useless.map(|_| attributes);
            }
            Err(error) => {
                let reason = self.reason;
                self.reason = format!(
                    "{reason}; programs that verified it earlier may still use it, as it cannot be marked: {error}"
                );
            }
        }
        self
    }

    fn into_fault(self, folder: &Folder, entry: &Listed, repair: bool) -> Fault {
        let name = entry.name();
        let (mut reason, mut removed) = (self.reason, false);
        if let Some(useless) = self.useless.filter(|_| repair) {
            match folder.remove(&name, Some(&useless)) {
                Ok(freed) => removed = freed.is_some(),
                Err(error) => {
                    folder.counters.error();
                    reason = format!("{reason}; it could not be removed: {error}");
                }
            }
        }
        Fault {
            path: folder.directory.path().join(name),
            reason,
            removed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            reason: error.to_string(),
            useless: None,
        }
    }
}

/// Reads an entry as a load does, and its contents in any case.
fn check(folder: &Folder, entry: &Listed) -> Result<(), Failure> {
    let (file, attributes) = match folder.open_listed(&entry.engine, entry.hash)? {
        Ok(opened) => opened,
        // Removed since it was listed.
        Err(Refusal::Missing) => return Ok(()),
        Err(Refusal::Invalid { reason, attributes }) => return Err(failure(&reason, attributes)),
        Err(Refusal::Unusable(reason)) => {
            let useless = None;
            return Err(Failure { reason, useless });
        }
        Err(Refusal::Unreadable { error, .. }) => return Err(error.into()),
    };
    // A limit that cannot be read keeps nothing from being checked.
    if folder.max_size().is_ok_and(|max| attributes.size > max) {
        let reason = "it is larger than the limit of the cache".into();
        return Err(Failure {
            reason,
            useless: None,
        });
    }
    let failure = match check_contents(folder, entry, &file, &attributes) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(reason)) => failure(&reason, attributes),
        Err(error) => return Err(Failure::from(error).mark(folder, entry, &file)),
    };
    Err(match failure.useless {
        Some(_) => failure.mark(folder, entry, &file),
        None => failure,
    })
}

fn check_contents(
    folder: &Folder,
    entry: &Listed,
    file: &File,
    attributes: &Attributes,
) -> io::Result<Result<(), InvalidEntry>> {
    let footer = match footer_of(file, attributes)? {
        Ok(footer) => footer,
        Err(reason) => return Ok(Err(reason)),
    };
    // The name tells the module in full, and enough of the engine.
    if footer.key().hash() != entry.hash || footer.key().engine().to_string() != entry.engine {
        return Ok(Err(InvalidEntry::KeyMismatch(Box::new(*footer.key()))));
    }
    if let Err(reason) = footer.check(footer.key(), attributes.size) {
        return Ok(Err(reason));
    }
    // It is not mapped: a part that cannot be read would kill the process.
    let read = |piece: &mut [u8], offset| read_exact_at(file, piece, offset);
    let trust = folder.policy.trust_in(footer.key_id());
    Ok(Seal::verify_read(&footer, attributes.size, &read, trust)?.map(drop))
}

fn failure(reason: &InvalidEntry, attributes: Attributes) -> Failure {
    let useless = reason.is_corrupt() || matches!(reason, InvalidEntry::KeyMismatch(_));
    Failure {
        reason: reason.to_string(),
        useless: useless.then_some(attributes),
    }
}
