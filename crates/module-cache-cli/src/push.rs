//! `module-cache push`: uploads entries to a remote storage.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use module_cache::{
    EntryInfo, EntryKey, EntryStore, FOOTER_LEN, FileSystemCache, Footer, RemoteCache,
};

use crate::args::PushArgs;
use crate::selection::Selection;
use crate::transfer::{self, Copied};
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
    let mut selection = Selection::of(entries.unwrap_or_default(), &args.select);
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
    selection.entries.sort_by_key(|entry| entry.len);
    let copy = |entry: &EntryInfo| copy(&folder, entry, &remote);
    transfer::transfer(&selection.entries, copy, "pushed", args.json)
}

fn copy(folder: &FileSystemCache, listed: &EntryInfo, remote: &RemoteCache) -> Copied {
    let entry = match key_of(folder, listed) {
        Ok(key) => EntryStore::get(folder, &key).map_err(|error| transfer::text_of(&error)),
        Err(error) => Err(format!("{error:#}")),
    };
    match entry {
        Ok(Some(entry)) => match remote.put_now(&entry) {
            Ok(outcome) => outcome.into(),
            Err(error) => Copied::Stopped(transfer::text_of(&error)),
        },
        Ok(None) => {
            Copied::Failed("it cannot be used, or is gone; see `module-cache verify`".into())
        }
        Err(error) => Copied::Failed(error),
    }
}

/// The whole key of an entry, of which the name has a part. Nothing is proven by it: the folder compares the
/// rest when the entry is read.
fn key_of(folder: &FileSystemCache, listed: &EntryInfo) -> Result<EntryKey> {
    let path = cache_folder::entry_path(folder, listed);
    let footer = last_bytes(&path, FOOTER_LEN as u64).context("cannot be read")?;
    Ok(*Footer::parse(&footer)?.key())
}

fn last_bytes(path: &Path, len: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(len);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
