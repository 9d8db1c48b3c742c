//! Making room: which entries leave, and what else is cleared away.
//!
//! The least recently used leave first. Those whose key is being compiled at the moment go last, since
//! somebody is about to want them. Loads go on meanwhile: they take no lock, and a file that is removed
//! stays with those who have it open or mapped.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::directory::{Directory, Kind, Space, blocks};
use crate::folder::Folder;
use crate::hints::Hints;
use crate::ledger::LedgerGuard;

use crate::lock::{self, Attempt};
use crate::scan::{Listed, Listing};
use crate::{clock, layout, permit, temporary};

/// The limits for [`FileSystemCache::prune`](crate::FileSystemCache::prune). The defaults are the limit of the folder, and
/// the maximum age that the cache was opened with.
#[derive(Debug, Clone, Copy, Default)]
pub struct PruneOptions {
    /// Remove the least recently used entries until the rest takes at most this many bytes.
    pub max_size: Option<u64>,
    /// Remove entries that were not used for this long.
    pub max_age: Option<Duration>,
    /// Find out what would be removed, and remove nothing.
    pub dry_run: bool,
}

/// The result of a prune, or of a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// Entries that were removed.
    pub removed: u64,
    /// Their size in bytes, in whole blocks.
    pub removed_bytes: u64,
    /// Entries that were kept.
    pub kept: u64,
    /// Their size in bytes, in whole blocks.
    pub kept_bytes: u64,
    /// Entries among those kept that should have been removed and could not be.
    pub stuck: u64,
    /// Files that dead processes left behind: unfinished entries and unused locks.
    pub stale_files: u64,
    /// Files that this crate did not create. They are not touched.
    pub unknown_files: Vec<PathBuf>,
}

/// A file that is not in use may be the beginning of something: its maker has not locked it yet.
const NEW: Duration = Duration::from_secs(60);

/// What is left free on a large disk, where nobody says how much.
const DEFAULT_RESERVE: u64 = 256 << 20;

/// How long after an eviction that gained no space the next one is tried.
const FRUITLESS: Duration = Duration::from_secs(10 * 60);

/// Removes entries until the rest takes at most `size` bytes and none is older than `age`, and corrects the ledger by what
/// was found. An entry that cannot be removed is passed over, and removing ends when such entries alone take more than
/// `enough`: nothing leaves in vain.
pub(crate) fn shrink(
    folder: &Folder,
    guard: &mut LedgerGuard<'_>,
    size: u64,
    enough: u64,
    age: Option<Duration>,
) -> io::Result<PruneReport> {
    let listing = folder.list()?;
    guard.correct(&listing)?;
    // Of what could not be listed only the ledger knows.
    let bytes = guard.total();
    let to = Target { size, enough, age };
    Ok(remove(folder, Some(guard), listing, bytes, &to))
}

/// Finds out what [`shrink`] would remove.
pub(crate) fn dry_run(
    folder: &Folder,
    size: u64,
    age: Option<Duration>,
) -> io::Result<PruneReport> {
    let listing = folder.list()?;
    let bytes = listing.bytes();
    let to = Target {
        size,
        enough: u64::MAX,
        age,
    };
    Ok(remove(folder, None, listing, bytes, &to))
}

/// What [`shrink`] is to reach.
struct Target {
    size: u64,
    enough: u64,
    age: Option<Duration>,
}

fn remove(
    folder: &Folder,
    mut guard: Option<&mut LedgerGuard<'_>>,
    listing: Listing,
    mut kept_bytes: u64,
    to: &Target,
) -> PruneReport {
    let Listing {
        entries,
        unknown_files,
        ..
    } = listing;
    let mut report = PruneReport {
        kept: entries.len() as u64,
        unknown_files: unknown_files
            .iter()
            .map(|name| folder.directory.path().join(name))
            .collect(),
        ..PruneReport::default()
    };
    let mut removed_from = BTreeSet::new();
    let mut stuck_bytes: u64 = 0;
    let now = clock::now();
    for (last_use, entry) in by_last_use(folder, entries, now) {
        let expired = to.age.is_some_and(|age| now.saturating_sub(last_use) > age);
        if kept_bytes <= to.size && !expired {
            continue;
        }
        let bytes = blocks(entry.attributes.size);
        if let Some(guard) = &mut guard {
            match evict(folder, guard, &entry) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    report.stuck += 1;
                    stuck_bytes = stuck_bytes.saturating_add(bytes);
                    if stuck_bytes > to.enough {
                        break;
                    }
                    continue;
                }
            }
        }
        kept_bytes = kept_bytes.saturating_sub(bytes);
        report.kept -= 1;
        report.removed += 1;
        report.removed_bytes = report.removed_bytes.saturating_add(bytes);
        removed_from.insert(entry.engine);
    }
    if guard.is_some() {
        sync(folder, &removed_from);
    }
    report.kept_bytes = kept_bytes;
    report
}

/// Removes an entry to make room and says whether it was there; `None` if it cannot be removed.
fn evict(folder: &Folder, guard: &mut LedgerGuard<'_>, entry: &Listed) -> Option<bool> {
    match guard.remove(&entry.name(), Some(&entry.attributes)) {
        Ok(freed) => {
            folder.stuck.lock().remove(&entry.name());
            if freed.is_some() {
                folder.counters.evict();
            }
            Some(freed.is_some())
        }
        Err(error) => {
            let error = folder.error("remove the entry", &entry.name(), error);
            let mut stuck = folder.stuck.lock();
            if stuck.is_empty() {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "cannot remove an entry; removing others in its place"
                );
            }
            stuck.insert(entry.name());
            None
        }
    }
}

/// Brings removals to the disk before what is stored in their place: a file system may keep both in a crash otherwise, as
/// Btrfs does.
fn sync(folder: &Folder, engines: &BTreeSet<String>) {
    for engine in engines {
        let synced = folder
            .directory
            .open_directory(engine)
            .and_then(|engine| engine.sync());
        if let Err(error) = synced {
            tracing::debug!(%error, engine, "cannot sync removals");
        }
    }
}

/// Sees to it that the reserve is still free on the disk when `len` bytes are written, and says whether it will be.
///
/// Entries are removed for it only if all of them would suffice, and as long as that frees space: a file that is mapped
/// keeps what it takes, and then no more are removed for ten minutes.
pub(crate) fn free_space(
    folder: &Folder,
    guard: &mut LedgerGuard<'_>,
    len: u64,
) -> io::Result<bool> {
    let directory = &folder.directory;
    if folder.policy.min_free == Some(0) {
        return Ok(true);
    }
    let mut space = directory.space()?;
    if space.total == 0 {
        // Such as ramfs, which does not tell.
        return Ok(true);
    }
    let fit = DEFAULT_RESERVE.min(space.total / 20);
    let reserve = folder.policy.min_free.unwrap_or(fit);
    let lacking = |space: Space| {
        let needed = blocks(len).saturating_add(reserve);
        needed.saturating_sub(space.available)
    };
    if lacking(space) == 0 {
        return Ok(true);
    }
    // One in the future was written under a wrong clock.
    let waited = clock::now().checked_sub(guard.fruitless());
    if lacking(space) > guard.total() || waited.is_some_and(|waited| waited < FRUITLESS) {
        return Ok(false);
    }
    let listing = folder.list()?;
    guard.correct(&listing)?;
    let mut stuck_bytes: u64 = 0;
    for (_, entry) in by_last_use(folder, listing.entries, clock::now()) {
        match evict(folder, guard, &entry) {
            Some(true) => {}
            Some(false) => continue,
            None => {
                stuck_bytes = stuck_bytes.saturating_add(blocks(entry.attributes.size));
                if lacking(space) > guard.total().saturating_sub(stuck_bytes) {
                    break;
                }
                continue;
            }
        }
        let before = space;
        space = directory.space()?;
        if space.free <= before.free {
            directory.sync_file_system()?;
            space = directory.space()?;
        }
        if lacking(space) == 0 {
            return Ok(true);
        }
        // What root's share takes is filled first.
        if space.free <= before.free {
            guard.note_fruitless()?;
            break;
        }
    }
    Ok(false)
}

/// Removes what dead processes left, and folders of engines that are empty. Returns how many files went.
pub(crate) fn remove_stale_files(
    directory: &Directory,
    guard: Option<&LedgerGuard<'_>>,
) -> io::Result<u64> {
    let mut cleared = match guard {
        Some(guard) => temporary::clear(directory, guard)?.dead,
        None => clear(directory, layout::TEMPORARY_DIR, layout::is_temporary, true)?,
    };
    cleared += clear(
        directory,
        layout::LOCK_DIR,
        layout::is_lock,
        guard.is_none(),
    )?;
    if guard.is_some() {
        for name in directory
            .names()?
            .iter()
            .filter(|name| layout::is_engine_dir(name))
        {
            // The system refuses where something is left in it.
            let _ = directory.remove_directory(name);
        }
    }
    Ok(cleared)
}

/// Removes the files in `folder` that this crate made and whose locks are free, holding the lock: whoever wants one
/// meanwhile sees that it is gone.
fn clear(
    directory: &Directory,
    folder: &str,
    is_own: fn(&str) -> bool,
    dry_run: bool,
) -> io::Result<u64> {
    let folder = match directory.open_directory(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        folder => folder?,
    };
    let mut cleared = 0;
    for name in folder.names()?.into_iter().filter(|name| is_own(name)) {
        let Ok(file) = folder.open_file(&name) else {
            continue;
        };
        let Ok(attributes) = Directory::attributes_of_file(&file) else {
            continue;
        };
        let age = clock::now().saturating_sub(clock::from_nanoseconds(attributes.modified));
        let is_free = attributes.kind == Kind::File
            && age >= NEW
            && lock::exclusive(&file).is_ok_and(|attempt| attempt == Attempt::Locked);
        if is_free {
            cleared += u64::from(dry_run || folder.remove_file(&name).is_ok());
            lock::unlock(&file);
        }
    }
    Ok(cleared)
}

/// When each entry was last used, the longest ago first; behind them those that are being compiled. Before them all comes
/// what could not be removed: whether it can be tells what the others are worth.
fn by_last_use(folder: &Folder, entries: Vec<Listed>, now: Duration) -> Vec<(Duration, Listed)> {
    let mut entries: Vec<_> = entries
        .into_iter()
        .map(|entry| (last_use(folder.hints.as_ref(), &entry, now), entry))
        .collect();
    entries.sort_by_cached_key(|(last_use, entry)| (*last_use, entry.hash));
    let (wanted, mut rest): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|(_, entry)| permit::is_held(&folder.directory, &entry.engine, entry.hash));
    rest.extend(wanted);
    let stuck = folder.stuck.lock();
    if !stuck.is_empty() {
        rest.sort_by_cached_key(|(_, entry)| !stuck.contains(&entry.name()));
    }
    rest
}

/// What the hints say, or else when the entry was published. A use in the future was written under a wrong clock, and is
/// not believed; an entry that was published in the future counts as published now.
pub(crate) fn last_use(hints: Option<&Hints>, entry: &Listed, now: Duration) -> Duration {
    hints
        .map(|hints| hints.last_use(&entry.engine, entry.hash))
        .filter(|last_use| !last_use.is_zero() && *last_use <= now)
        .unwrap_or_else(|| clock::from_nanoseconds(entry.attributes.modified))
        .min(now)
}
