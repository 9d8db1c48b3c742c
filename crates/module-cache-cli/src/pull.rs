//! `module-cache pull`: downloads entries from a remote storage.

use std::collections::HashSet;

use anyhow::{Result, bail};
use module_cache::{
    FileSystemCache, ModuleHash,
    backend::{EntryStore, ListedEntry},
    remote::RemoteCache,
};

use crate::args::PullArgs;
use crate::selection::{Place, Selection};
use crate::transfer::{self, Copied};
use crate::{cache_folder, messages, remote};

/// Runs the command and returns its exit code: 0 if the cache has all that was asked for.
///
/// # Errors
///
/// When the storage is not known or does not say what it has, or the cache cannot be written to.
pub(crate) fn pull(args: &PullArgs) -> Result<u8> {
    if let Some(uri) = args.remote.uri()?
        && !uri.can_be_listed()
    {
        bail!(
            "storages of the kind `{}` do not tell what they have; `run` and `compile` with --remote \
             fetch from them what they need",
            uri.scheme()
        );
    }
    let remote = remote::connect(&args.remote)?;
    let folder = cache_folder::open_writable(&args.cache_dir, remote::origins(&args.remote)?)?;
    let mut listed = Vec::new();
    for engine in remote.engines()? {
        if args.select.engine.means(&engine) {
            for entry in remote.list(&engine, None)? {
                listed.push(entry?);
            }
        }
    }
    let mut selection = Selection::of(Place::Remote, listed, &args.select);
    for problem in &selection.problems {
        messages::error(problem);
    }
    if !selection.problems.is_empty() {
        return Ok(1);
    }
    // What there is no room for comes last, and holds up nothing.
    selection.entries.sort_by_key(|entry| entry.bytes);

    let present = folder.list()?;
    let present: HashSet<_> = present.iter().map(name).collect();
    let copy = |entry: &ListedEntry| {
        if present.contains(&name(entry)) {
            Copied::Present
        } else {
            copy(&remote, entry, &folder)
        }
    };
    transfer::transfer(&selection.entries, copy, "pulled", args.json)
}

fn name(entry: &ListedEntry) -> (&str, ModuleHash) {
    (&entry.engine, entry.hash)
}

fn copy(remote: &RemoteCache, listed: &ListedEntry, folder: &FileSystemCache) -> Copied {
    let stored = match remote.get_listed(listed) {
        Ok(Some(entry)) => folder.put(entry.key(), &entry),
        Ok(None) => {
            return Copied::Failed("it is not signed with the key, is damaged, or is gone".into());
        }
        Err(error) => Err(error),
    };
    match stored {
        Ok(outcome) => outcome.into(),
        Err(error) => Copied::Stopped(transfer::text_of(&error)),
    }
}
