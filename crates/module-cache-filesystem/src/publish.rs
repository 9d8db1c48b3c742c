//! Storing an entry: room on the disk, room under the cap, and one rename.

use std::io;

use fs4::FileExt;
use module_cache_core::{CacheError, EntryKey, SaveOutcome, SealedEntry, SkipReason};

use crate::directory::{Directory, Kind};
use crate::folder::Folder;
use crate::layout;
use crate::ledger::{Ledger, LedgerGuard, blocks};
use crate::prune::{self, Limits};
use crate::temporary::Temporary;

/// Writes the entry beside the others and moves it to its name when it is whole and on disk.
///
/// # Errors
///
/// When the folder cannot be written to for another reason than a lack of room.
pub(crate) fn publish(
    folder: &Folder,
    key: &EntryKey,
    entry: &SealedEntry<'_>,
) -> Result<SaveOutcome, CacheError> {
    let Some(ledger) = &folder.ledger else {
        return Ok(SaveOutcome::Skipped(SkipReason::ReadOnly));
    };
    let name = layout::entry(key);
    if folder
        .directory
        .attributes_of(&name)
        .is_ok_and(|found| found.kind != Kind::File)
    {
        return Ok(SaveOutcome::Skipped(SkipReason::Occupied));
    }
    if blocks(entry.len()) > folder.policy.max_size {
        return Ok(SaveOutcome::Skipped(SkipReason::TooLarge));
    }
    match write_and_rename(folder, ledger, key, &name, entry) {
        Ok(None) => Ok(SaveOutcome::Stored { bytes: entry.len() }),
        Ok(Some(reason)) => Ok(SaveOutcome::Skipped(reason)),
        Err(error) => match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Ok(SaveOutcome::Skipped(SkipReason::NoSpace)),
            io::ErrorKind::ReadOnlyFilesystem => Ok(SaveOutcome::Skipped(SkipReason::ReadOnly)),
            _ => Err(folder.error("store the entry", &name, error)),
        },
    }
}

/// Returns why the entry was not stored, if it was not.
fn write_and_rename(
    folder: &Folder,
    ledger: &Ledger,
    key: &EntryKey,
    name: &str,
    entry: &SealedEntry<'_>,
) -> io::Result<Option<SkipReason>> {
    let directory = &folder.directory;
    let temporary = Temporary::create(directory)?;
    let mut file = temporary.file();

    // What is free is looked up and taken under the lock, or two savers would both count on it.
    let Some(mut guard) = ledger.lock(directory)? else {
        return Ok(Some(SkipReason::Busy));
    };
    if !free_space(folder, &mut guard, entry.len())? {
        return Ok(Some(SkipReason::NoSpace));
    }
    match FileExt::allocate(file, entry.len()) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        outcome => outcome?,
    }
    drop(guard);

    entry.write_to(&folder.policy.trust, &mut file)?;
    Directory::seal_permissions(file)?;
    // Without this, a crash could leave the name with none of the bytes. A name that is lost is a miss, so
    // the directory is not synced.
    file.sync_all()?;
    let attributes = Directory::attributes_of_file(file)?;

    let Some(mut guard) = ledger.lock(directory)? else {
        return Ok(Some(SkipReason::Busy));
    };
    let max = folder.policy.max_size;
    if guard.total_with(name, entry.len()) > max {
        // Down to 90 %, so that the next saves need not look for room again.
        let target = (max / 10 * 9).min(max - blocks(entry.len()));
        shrink(folder, &mut guard, target)?;
        if guard.total_with(name, entry.len()) > max {
            return Ok(Some(SkipReason::NoSpace));
        }
    }
    directory.create_directory(&layout::engine_dir(key))?;
    guard.publish(name, attributes.inode, entry.len(), || {
        temporary.publish(name)
    })?;
    drop(guard);
    if let Some(hints) = &folder.hints {
        hints.record(&hints.find(key), &attributes, false);
    }
    Ok(None)
}

/// Sees to it that the reserve is still free when `len` bytes are written, and says whether it will be.
/// Entries are removed for it only if that suffices.
fn free_space(folder: &Folder, guard: &mut LedgerGuard<'_>, len: u64) -> io::Result<bool> {
    let reserve = folder.policy.min_free;
    if reserve == 0 {
        return Ok(true);
    }
    let lacking = || -> io::Result<u64> {
        let free = fs4::available_space(folder.directory.path())?;
        Ok(blocks(len).saturating_add(reserve).saturating_sub(free))
    };
    let bytes = lacking()?;
    if bytes > 0 && bytes <= guard.total() {
        shrink(folder, guard, guard.total() - bytes)?;
        return Ok(lacking()? == 0);
    }
    Ok(bytes == 0)
}

fn shrink(folder: &Folder, guard: &mut LedgerGuard<'_>, size: u64) -> io::Result<()> {
    let limits = Limits {
        size,
        age: folder.policy.max_age,
    };
    let report = prune::shrink(
        &folder.directory,
        folder.hints.as_ref(),
        Some(guard),
        limits,
    )?;
    for _ in 0..report.removed {
        folder.counters.evict();
    }
    Ok(())
}
