//! `module-cache push`: uploads entries to a remote storage.

use anyhow::{Result, bail};
use module_cache::{FileSystemCache, backend::ListedEntry, remote::RemoteCache};

use crate::args::PushArgs;
use crate::selection::{Place, Selection};
use crate::transfer::{self, Copied, Transfer};
use crate::{cache_folder, messages, remote};

/// Runs the command and returns its exit code: 0 if the storage has all that was asked for.
///
/// # Errors
///
/// When the storage is not known or the cache cannot be read, or there is nothing to push.
pub(crate) fn push(args: &PushArgs) -> Result<u8> {
    let remote = remote::connect(&args.remote)?;
    let folder = cache_folder::open_existing(&args.cache_dir)?;
    let entries = folder.as_ref().map(FileSystemCache::list).transpose()?;
    let mut selection = Selection::of(Place::Folder, entries.unwrap_or_default(), &args.select);
    for problem in &selection.problems {
        messages::error(problem);
    }
    if !selection.problems.is_empty() {
        return Ok(1);
    }
    let Some(folder) = folder.filter(|_| !selection.entries.is_empty()) else {
        bail!("the cache is empty, so there is nothing to push");
    };
    // What a storage cannot take for its size comes last, and holds up nothing.
    selection.entries.sort_by_key(|entry| entry.bytes);
    let mut transfer = Transfer::new(args.json);
    transfer.run(&selection.entries, |entry| copy(&folder, entry, &remote))?;
    if args.index && !transfer.is_stopped() {
        remote.write_index()?;
    }
    transfer.finish("pushed")
}

fn copy(folder: &FileSystemCache, listed: &ListedEntry, remote: &RemoteCache) -> Copied {
    let entry = match folder.get_listed(listed) {
        Ok(Some(entry)) => entry,
        Ok(None) => {
            return Copied::Failed(
                "it cannot be used, or was removed; see `module-cache verify`".into(),
            );
        }
        Err(error) => return Copied::Failed(transfer::text_of(&error)),
    };
    match remote.put_now(&entry) {
        Ok(outcome) => outcome.into(),
        Err(error) => Copied::Stopped(transfer::text_of(&error)),
    }
}
