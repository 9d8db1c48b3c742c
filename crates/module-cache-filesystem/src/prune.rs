//! Making room: which entries leave, and what else is cleared away.
//!
//! The least recently used leave first. Those whose key is being compiled at the moment go last, since
//! somebody is about to want them. Loads go on meanwhile: they take no lock, and a file that is removed
//! stays with those who have it open or mapped.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use fs4::FileExt;

use crate::directory::{Directory, Kind};
use crate::hints::Hints;
use crate::ledger::{LedgerGuard, blocks};
use crate::scan::{self, Listed, Listing};
use crate::{clock, layout, permit};

/// What [`FileSystemCache::prune`](crate::FileSystemCache::prune) shall reach. By default, what the cache
/// was opened with.
#[derive(Debug, Clone, Copy, Default)]
pub struct PruneOptions {
    /// Remove the least recently used entries until the rest takes at most so many bytes.
    pub max_size: Option<u64>,
    /// Remove entries that were not used for so long.
    pub max_age: Option<Duration>,
    /// Find out what would be removed, and remove nothing.
    pub dry_run: bool,
}

/// What a prune did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// Entries that were removed.
    pub removed: u64,
    /// The bytes that they took, in whole blocks.
    pub removed_bytes: u64,
    /// Entries that were kept.
    pub kept: u64,
    /// The bytes that they take, in whole blocks.
    pub kept_bytes: u64,
    /// Files that dead processes left behind: half-written entries and locks of nobody.
    pub stale_files: u64,
    /// What this crate did not make. It is left alone.
    pub unknown_files: Vec<PathBuf>,
}

/// A file that is not in use may be the beginning of something: its maker has not locked it yet.
const NEW: Duration = Duration::from_mins(1);

/// The limits that a prune enforces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) size: u64,
    pub(crate) age: Option<Duration>,
}

/// Removes entries until the limits hold, and corrects the ledger by what was found. Without it this only
/// finds out what would be removed.
pub(crate) fn shrink(
    directory: &Directory,
    hints: Option<&Hints>,
    mut guard: Option<&mut LedgerGuard<'_>>,
    limits: Limits,
) -> io::Result<PruneReport> {
    let Listing {
        entries,
        unknown_files,
        ..
    } = scan::list(directory)?;
    let mut kept_bytes = entries
        .iter()
        .map(|entry| blocks(entry.attributes.size))
        .sum();
    if let Some(guard) = &mut guard {
        guard.correct(kept_bytes)?;
    }
    let mut report = PruneReport {
        kept: entries.len() as u64,
        unknown_files: unknown_files
            .iter()
            .map(|name| directory.path().join(name))
            .collect(),
        ..PruneReport::default()
    };

    let now = clock::now();
    for (last_use, entry) in by_last_use(directory, hints, entries, now) {
        let expired = limits
            .age
            .is_some_and(|age| now.saturating_sub(last_use) > age);
        if kept_bytes <= limits.size && !expired {
            continue;
        }
        if let Some(guard) = &mut guard
            && guard.remove(&entry.name())?.is_none()
        {
            continue;
        }
        let bytes = blocks(entry.attributes.size);
        kept_bytes -= bytes;
        report.kept -= 1;
        report.removed += 1;
        report.removed_bytes += bytes;
    }
    report.kept_bytes = kept_bytes;
    Ok(report)
}

/// Removes what dead processes left, and folders of engines that are empty. Returns how many files went.
pub(crate) fn remove_stale_files(directory: &Directory, dry_run: bool) -> io::Result<u64> {
    let mut cleared = 0;
    for folder in [layout::TEMPORARY_DIR, layout::LOCK_DIR] {
        let names = match directory.names(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            names => names?,
        };
        for name in names {
            cleared += u64::from(clear(directory, &format!("{folder}/{name}"), dry_run));
        }
    }
    if !dry_run {
        for name in directory
            .names(".")?
            .iter()
            .filter(|name| layout::is_engine_dir(name))
        {
            // The system refuses where something is left in it.
            let _ = directory.remove_directory(name);
        }
    }
    Ok(cleared)
}

/// Removes a file whose lock is free, holding the lock: whoever wants it meanwhile sees that it is gone.
fn clear(directory: &Directory, name: &str, dry_run: bool) -> bool {
    let Ok(file) = directory.open_file(name) else {
        return false;
    };
    let Ok(attributes) = Directory::attributes_of_file(&file) else {
        return false;
    };
    let age = clock::now().saturating_sub(clock::from_nanoseconds(attributes.modified));
    if attributes.kind != Kind::File || age < NEW || FileExt::try_lock(&file).is_err() {
        return false;
    }
    let cleared = dry_run || directory.remove_file(name).is_ok();
    let _ = FileExt::unlock(&file);
    cleared
}

/// When each entry was last used, the longest ago first; behind them those that are being compiled.
fn by_last_use(
    directory: &Directory,
    hints: Option<&Hints>,
    entries: Vec<Listed>,
    now: Duration,
) -> Vec<(Duration, Listed)> {
    let mut entries: Vec<_> = entries
        .into_iter()
        .map(|entry| (last_use(hints, &entry, now), entry))
        .collect();
    entries.sort_by_cached_key(|(last_use, entry)| (*last_use, entry.hash));
    let (wanted, mut rest): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(_, entry)| permit::is_held(directory, &entry.engine, entry.hash));
    rest.extend(wanted);
    rest
}

/// What the hints say, or else when the entry was published. A time in the future was written under a wrong
/// clock, and counts as now.
pub(crate) fn last_use(hints: Option<&Hints>, entry: &Listed, now: Duration) -> Duration {
    hints
        .map(|hints| hints.last_use(&entry.engine, entry.hash))
        .filter(|last_use| !last_use.is_zero())
        .unwrap_or_else(|| clock::from_nanoseconds(entry.attributes.modified))
        .min(now)
}
