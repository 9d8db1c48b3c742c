//! Storing an entry: room under the cap and on the disk, and one rename.

use std::io;
use std::sync::Arc;

use module_cache_core::{CacheError, EntryKey, SaveOutcome, SealedEntry, SkipReason};

use crate::directory::{Directory, Kind, blocks};
use crate::engine_folder::EngineFolder;
use crate::folder::Folder;
use crate::hints::{Known, Sight};
use crate::ledger::{Ledger, LedgerGuard};
use crate::open_entry::Refusal;
use crate::positional::write_all_at;
use crate::prune;
use crate::temporary::{self, Temporary};
use crate::{clock, layout};

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
    match write_and_rename(folder, ledger, key, entry) {
        Ok(None) => Ok(SaveOutcome::Stored { bytes: entry.len() }),
        Ok(Some(reason)) => Ok(SaveOutcome::Skipped(reason)),
        Err(error) => match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Ok(SaveOutcome::Skipped(SkipReason::NoSpace)),
            // Another file system is mounted on the folder of the engine.
            io::ErrorKind::CrossesDevices => Ok(SaveOutcome::Skipped(SkipReason::Occupied)),
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Ok(SaveOutcome::Skipped(SkipReason::ReadOnly))
            }
            // The entry is not what it should be, such as one that comes from a storage.
            io::ErrorKind::InvalidData => {
                Err(folder.uncounted_error("store the entry", &layout::entry(key), error))
            }
            _ if Directory::is_in_use(&error) => Ok(SaveOutcome::Skipped(SkipReason::Busy)),
            _ => Err(folder.error("store the entry", &layout::entry(key), error)),
        },
    }
}

/// Returns why the entry was not stored, if it was not.
fn write_and_rename(
    folder: &Folder,
    ledger: &Ledger,
    key: &EntryKey,
    entry: &SealedEntry<'_>,
) -> io::Result<Option<SkipReason>> {
    let directory = &folder.directory;
    let leaf = layout::leaf(key);
    // Nothing leaves for what cannot be stored, or could not be used.
    entry.check_under(&folder.policy.trust)?;
    entry.check_under(folder.policy.trust_in(entry.key_id()))?;
    let Some(mut engine) = engine_folder(folder, key)? else {
        return Ok(Some(SkipReason::Occupied));
    };
    if engine
        .directory
        .attributes_of(&leaf)
        .is_ok_and(|found| found.kind != Kind::File)
    {
        return Ok(Some(SkipReason::Occupied));
    }

    // Room is looked for and taken under the lock, or two savers would both count on it.
    let Some(mut guard) = ledger.lock(directory)? else {
        return Ok(Some(SkipReason::Busy));
    };
    if let Some(reason) = make_room(folder, &mut guard, entry.len())? {
        return Ok(Some(reason));
    }
    let temporary = Temporary::create(directory, entry.len(), &guard)?;
    temporary.allocate(entry.len())?;
    drop(guard);

    let file = temporary.file();
    entry.write_at(&folder.policy.trust, &|offset, bytes| {
        write_all_at(file, bytes, offset)
    })?;
    Directory::seal_permissions(file)?;
    // Without this, a crash could leave the name with none of the bytes. A name that is lost is a miss, so
    // the directory is not synced. What was fetched is still where it came from: the first load after a crash finds that
    // it is damaged.
    if !entry.is_incoming() {
        file.sync_all()?;
    }
    let fine_times = engine.has_fine_times(file)?;
    let written = Directory::attributes_of_file(file)?;
    let inode = written.inode;

    let Some(mut guard) = ledger.lock(directory)? else {
        return Ok(Some(SkipReason::Busy));
    };
    // An empty folder may have been removed meanwhile.
    if !engine.is_current(directory) {
        let Some(another) = engine_folder(folder, key)? else {
            return Ok(Some(SkipReason::Occupied));
        };
        engine = another;
    }
    let replaced = engine.directory.attributes_of(&leaf);
    guard.publish(&layout::entry(key), inode, entry.len(), replaced, |guard| {
        temporary.publish(&engine.directory, &leaf, guard)
    })?;
    drop(guard);
    let seen = clock::now();
    if let Some(hints) = &folder.hints {
        if let Ok(attributes) = engine.directory.attributes_of(&leaf) {
            if attributes.inode == inode {
                let sight = Sight {
                    session: engine.session,
                    attributes,
                    seen,
                };
                // What was proven was written. Another change would show: of its own time, or of this.
                let unchanged =
                    (attributes.modified, attributes.size) == (written.modified, entry.len());
                let mut known = vec![Known::Written];
                known.extend((fine_times && unchanged).then_some(Known::Verified));
                hints.record(&hints.find(key), &sight, &known);
            }
        }
    }
    Ok(None)
}

/// The folder of the key's engine, made if it is not there; `None` where something stands in its place that is not this
/// user's folder.
fn engine_folder(folder: &Folder, key: &EntryKey) -> io::Result<Option<Arc<EngineFolder>>> {
    match folder.engine_folder(key.engine())? {
        Ok(engine) => return Ok(Some(engine)),
        Err(Refusal::Missing) => {}
        Err(_) => return Ok(None),
    }
    let name = layout::engine_dir(key.engine());
    folder.directory.create_directory(&name)?;
    let Ok(engine) = folder.engine_folder(key.engine())? else {
        return Ok(None);
    };
    // Who may list the folder may read what is in it.
    if folder.directory.attributes()?.mode & 0o005 == 0o005 {
        engine.directory.let_others_read()?;
    }
    Ok(Some(engine))
}

/// Sees to it that an entry of `len` bytes has room, under the cap and on the disk, and returns why it has none.
fn make_room(
    folder: &Folder,
    guard: &mut LedgerGuard<'_>,
    len: u64,
) -> io::Result<Option<SkipReason>> {
    let max = folder.max_size()?;
    if blocks(len) > max {
        return Ok(Some(SkipReason::TooLarge));
    }
    // What is being written takes room like what is stored, and is as much when it is published.
    let written = temporary::clear(&folder.directory, guard)?.live;
    let needed = written.saturating_add(blocks(len));
    // Nothing leaves for what others hold.
    if needed > max {
        return Ok(Some(SkipReason::NoSpace));
    }
    if guard.total().saturating_add(needed) > max {
        // Down to 90 %, so that the next saves need not look for room again.
        let enough = max - needed;
        let size = (max / 10 * 9).min(enough);
        prune::shrink(folder, guard, size, enough, folder.policy.max_age)?;
        if guard.total().saturating_add(needed) > max {
            return Ok(Some(SkipReason::NoSpace));
        }
    }
    let enough = prune::free_space(folder, guard, len)?;
    Ok((!enough).then_some(SkipReason::NoSpace))
}
