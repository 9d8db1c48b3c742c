//! Storing an entry: room on the disk, room under the cap, and one rename.

use std::io;

use fs4::FileExt;
use module_cache_core::{CacheError, EntryKey, SaveOutcome, SealedEntry, SkipReason};

use crate::directory::{Directory, Kind};
use crate::file_system_cache::Inner;
use crate::layout;
use crate::ledger::{Books, Ledger, blocks};
use crate::prune::{self, Limits};
use crate::temporary::Temporary;

/// Writes the entry beside the others and moves it to its name when it is whole and on disk.
///
/// # Errors
///
/// When the folder cannot be written to for another reason than a lack of room.
pub(crate) fn publish(
    inner: &Inner,
    key: &EntryKey,
    entry: &SealedEntry<'_>,
) -> Result<SaveOutcome, CacheError> {
    let Some(ledger) = &inner.ledger else {
        return Ok(SaveOutcome::Skipped(SkipReason::ReadOnly));
    };
    let name = layout::entry(key);
    if inner
        .directory
        .attributes_of(&name)
        .is_ok_and(|found| found.kind != Kind::File)
    {
        return Ok(SaveOutcome::Skipped(SkipReason::Occupied));
    }
    if blocks(entry.len()) > inner.policy.max_size {
        return Ok(SaveOutcome::Skipped(SkipReason::TooLarge));
    }
    match write_and_rename(inner, ledger, key, &name, entry) {
        Ok(None) => Ok(SaveOutcome::Stored { bytes: entry.len() }),
        Ok(Some(reason)) => Ok(SaveOutcome::Skipped(reason)),
        Err(error) => match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Ok(SaveOutcome::Skipped(SkipReason::NoSpace)),
            io::ErrorKind::ReadOnlyFilesystem => Ok(SaveOutcome::Skipped(SkipReason::ReadOnly)),
            _ => Err(inner.error("store the entry", &name, error)),
        },
    }
}

/// Returns why the entry was not stored, if it was not.
fn write_and_rename(
    inner: &Inner,
    ledger: &Ledger,
    key: &EntryKey,
    name: &str,
    entry: &SealedEntry<'_>,
) -> io::Result<Option<SkipReason>> {
    let directory = &inner.directory;
    let temporary = Temporary::create(directory)?;
    let mut file = temporary.file();

    // What is free is looked up and taken under the lock, or two savers would both count on it.
    let Some(mut books) = ledger.lock(directory)? else {
        return Ok(Some(SkipReason::Busy));
    };
    if !free_space(inner, &mut books, entry.len())? {
        return Ok(Some(SkipReason::NoSpace));
    }
    match FileExt::allocate(file, entry.len()) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
        outcome => outcome?,
    }
    drop(books);

    entry.write_to(&inner.policy.trust, &mut file)?;
    Directory::seal_permissions(file)?;
    // Without this, a crash could leave the name with none of the bytes. A name that is lost is a miss, so
    // the directory is not synced.
    file.sync_all()?;
    let attributes = Directory::attributes_of_file(file)?;

    let Some(mut books) = ledger.lock(directory)? else {
        return Ok(Some(SkipReason::Busy));
    };
    let max = inner.policy.max_size;
    if books.total_with(name, entry.len()) > max {
        // Down to 90 %, so that the next saves need not look for room again.
        let target = (max / 10 * 9).min(max - blocks(entry.len()));
        shrink(inner, &mut books, target)?;
        if books.total_with(name, entry.len()) > max {
            return Ok(Some(SkipReason::NoSpace));
        }
    }
    directory.create_directory(&layout::engine_dir(key))?;
    books.publish(name, attributes.inode, entry.len(), || {
        temporary.publish(name)
    })?;
    drop(books);
    if let Some(hints) = &inner.hints {
        hints.record(&hints.find(key), &attributes, false);
    }
    Ok(None)
}

/// Sees to it that the floor is still free when `len` bytes are written, and says whether it will be.
/// Entries are removed for it only if that suffices.
fn free_space(inner: &Inner, books: &mut Books<'_>, len: u64) -> io::Result<bool> {
    let floor = inner.policy.min_free;
    if floor == 0 {
        return Ok(true);
    }
    let lacking = || -> io::Result<u64> {
        let free = fs4::available_space(inner.directory.path())?;
        Ok(blocks(len).saturating_add(floor).saturating_sub(free))
    };
    let bytes = lacking()?;
    if bytes > 0 && bytes <= books.total() {
        shrink(inner, books, books.total() - bytes)?;
        return Ok(lacking()? == 0);
    }
    Ok(bytes == 0)
}

fn shrink(inner: &Inner, books: &mut Books<'_>, size: u64) -> io::Result<()> {
    let limits = Limits {
        size,
        age: inner.policy.max_age,
    };
    let report = prune::shrink(&inner.directory, inner.hints.as_ref(), Some(books), limits)?;
    for _ in 0..report.removed {
        inner.counters.evict();
    }
    Ok(())
}
