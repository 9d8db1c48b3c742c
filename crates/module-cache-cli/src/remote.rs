//! A storage that machines share, and how it stands behind the cache folder.

use anyhow::Result;
use module_cache::backend::{EntryStore, Trust};
use module_cache::{FallbackCache, FileSystemCache};
#[cfg(feature = "remote")]
use {
    crate::keys,
    anyhow::{Context, anyhow},
    module_cache::remote::{RemoteCache, RemoteCacheBuilder},
};

use crate::args::RemoteArgs;
use crate::messages;

/// The cache of a command: what it does not have is looked for in the remote storage, if there is one, and
/// kept.
pub(crate) type Layers = FallbackCache<Option<FileSystemCache>, Option<Storage>>;

#[cfg(feature = "remote")]
pub(crate) type Storage = RemoteCache;

/// A build without has none, of whatever type.
#[cfg(not(feature = "remote"))]
pub(crate) type Storage = FileSystemCache;

/// The storage that was asked for, if any. Nothing is asked of it yet, so that it works is not sure.
///
/// # Errors
///
/// When its name is wrong, or the key cannot be had.
pub(crate) fn open(args: &RemoteArgs) -> Result<Option<Storage>> {
    #[cfg(feature = "remote")]
    if args.uri()?.is_some() {
        return connect(args).map(Some);
    }
    // In a build without, a name is wrong.
    #[cfg(not(feature = "remote"))]
    args.uri()?;
    Ok(None)
}

/// Whose entries are used of those that were fetched earlier: of the same as are fetched now.
///
/// # Errors
///
/// As for [`open`].
pub(crate) fn origins(args: &RemoteArgs) -> Result<Option<Trust>> {
    #[cfg(feature = "remote")]
    if args.uri()?.is_some() {
        return Ok(Some(keys::trust(&args.trust)?).filter(Trust::is_signed));
    }
    args.uri()?;
    Ok(None)
}

/// The same for a command that fills it: what is saved faster than it is uploaded waits.
///
/// # Errors
///
/// As for [`open`].
pub(crate) fn open_to_fill(args: &RemoteArgs) -> Result<Option<Storage>> {
    #[cfg(feature = "remote")]
    if args.uri()?.is_some() {
        return Ok(Some(options(args)?.wait_for_room().build()));
    }
    args.uri()?;
    Ok(None)
}

/// Waits for what is on its way there, and says what was not uploaded.
pub(crate) fn flush(cache: &Layers) -> Option<String> {
    let error = cache.fallback().as_ref()?.sync().err()?;
    Some(messages::one_line(&messages::with_causes(&error)))
}

/// The storage that was asked for. Nothing is asked of it yet.
///
/// # Errors
///
/// When none is named or its name is wrong, or the key cannot be had.
#[cfg(feature = "remote")]
pub(crate) fn connect(args: &RemoteArgs) -> Result<RemoteCache> {
    Ok(options(args)?.build())
}

#[cfg(feature = "remote")]
fn options(args: &RemoteArgs) -> Result<RemoteCacheBuilder> {
    let uri = args.uri()?.context("no remote storage is named")?;
    let trust = keys::trust(&args.trust)?;
    // The rest of the name may be a secret.
    RemoteCache::from_uri(uri.as_str(), trust).map_err(|error| {
        anyhow!(
            "{:#}; see `module-cache run --help` for the names of storages",
            anyhow::Error::from(error)
        )
        .context(format!("the {} storage", uri.scheme()))
    })
}
