//! `module-cache pull`: downloads entries from a remote storage, as it lists them.

use std::collections::HashSet;

use anyhow::Result;
use module_cache::backend::{ListedEntry, Trust};
use module_cache::{FileSystemCache, ModuleHash, remote::RemoteCache};

use crate::args::{PullArgs, SelectArgs};
use crate::selection::{Place, Selection};
use crate::transfer::{self, Copied, Transfer};
use crate::{cache_folder, messages, remote};

/// So many entries are listed before they are copied.
const PAGE: usize = 1000;

/// Runs the command and returns its exit code: 0 if the cache has all that was asked for.
///
/// # Errors
///
/// When the storage is not known or does not say what it has, or the cache cannot be written to.
pub(crate) fn pull(args: &PullArgs) -> Result<u8> {
    let remote = remote::connect(&args.remote)?;
    let origins = remote::origins(&args.remote)?;
    let folder = cache_folder::open_writable(&args.cache_dir, origins.clone())?;
    let mut listed = list(&remote, &args.select)?.peekable();
    // Whether a hash is there is known at the end of the list alone, and so is whether there is nothing at all.
    if !args.select.hashes.is_empty() || listed.peek().is_none() {
        let all = listed.collect::<Result<_>>()?;
        let selection = Selection::of(Place::Remote, all, &args.select);
        for problem in &selection.problems {
            messages::error(problem);
        }
        if !selection.problems.is_empty() {
            if let Some(origins) = &origins
                && !args.select.hashes.is_empty()
            {
                messages::note(format_args!(
                    "only entries of the key {} were looked for",
                    ids(origins)
                ));
            }
            return Ok(1);
        }
        if selection.entries.is_empty() {
            messages::note(nothing_of(origins.as_ref()));
        }
        listed = chosen(selection.entries).peekable();
    }

    let present = folder.list()?;
    let present: HashSet<_> = present.iter().map(name).collect();
    let copy = |entry: &ListedEntry| {
        // One that is damaged, or that another key has signed, is replaced.
        let is_usable = || matches!(folder.get_listed(entry), Ok(Some(_)));
        if present.contains(&name(entry)) && is_usable() {
            Copied::Present
        } else {
            copy(&remote, entry, &folder)
        }
    };
    let mut transfer = Transfer::new(args.json);
    while listed.peek().is_some() && !transfer.is_stopped() {
        let mut page: Vec<_> = listed.by_ref().take(PAGE).collect::<Result<_>>()?;
        // What there is no room for comes last, and holds up nothing.
        page.sort_by_key(|entry| entry.bytes);
        transfer.run(&page, copy)?;
    }
    transfer.finish("pulled")
}

/// What to say of a storage in which nothing of these keys is.
fn nothing_of(origins: Option<&Trust>) -> String {
    let Some(origins) = origins else {
        return "the remote storage has no unsigned entries".into();
    };
    format!(
        "the remote storage has no entries of the key {}; `module-cache key public` prints the ids of keys",
        ids(origins)
    )
}

fn ids(origins: &Trust) -> String {
    let ids: Vec<_> = origins.key_ids().map(|id| id.to_string()).collect();
    ids.join(" or ")
}

type Listed<'a> = Box<dyn Iterator<Item = Result<ListedEntry>> + 'a>;

/// What the storage has of the engine and the hashes that are meant, as it lists it.
fn list<'a>(remote: &'a RemoteCache, select: &'a SelectArgs) -> Result<Listed<'a>> {
    let engines = remote.engines()?;
    let meant = engines
        .into_iter()
        .filter(|engine| select.engine.means(engine));
    let entries = meant.flat_map(|engine| -> Listed<'a> {
        match remote.list(&engine, None) {
            Ok(entries) => Box::new(entries.map(|entry| Ok(entry?))),
            Err(error) => Box::new(std::iter::once(Err(error.into()))),
        }
    });
    Ok(Box::new(entries.filter(|entry| {
        entry
            .as_ref()
            .map_or(true, |entry| select.may_mean(&entry.hash))
    })))
}

fn chosen<'a>(entries: Vec<ListedEntry>) -> Listed<'a> {
    Box::new(entries.into_iter().map(Ok))
}

fn name(entry: &ListedEntry) -> (&str, ModuleHash) {
    (&entry.engine, entry.hash)
}

fn copy(remote: &RemoteCache, listed: &ListedEntry, folder: &FileSystemCache) -> Copied {
    match remote.promote_listed(listed, folder) {
        Ok(Some(promotion)) => match promotion.outcome {
            Ok(outcome) => outcome.into(),
            Err(error) => Copied::Stopped(transfer::text_of(&error)),
        },
        Ok(None) => {
            Copied::Failed("it is not signed with the key, is damaged, or was removed".into())
        }
        Err(error) => Copied::Stopped(transfer::text_of(&error)),
    }
}
