//! Which folder is the cache.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use module_cache::backend::Trust;
use module_cache::filesystem::FileSystemCacheBuilder;
use module_cache::{CacheError, FileSystemCache};

use crate::args::{CACHE_DIR, CacheDirArg, DirArgs, variable};
use crate::{messages, output};

/// What a folder has below it once a cache was opened there.
const FORMAT: &str = "v1";

/// Runs `module-cache dir`, which prints the cache folder, and returns its exit code.
///
/// # Errors
///
/// When there is no cache folder, or nothing can be printed.
pub(crate) fn dir(args: &DirArgs) -> Result<u8> {
    let folder = resolve(&args.cache_dir)?;
    // As it is, so that a shell that takes it gets the same folder, whatever its name is made of.
    output::print_line(folder.as_os_str().as_encoded_bytes())?;
    output::flush()?;
    Ok(0)
}

/// The cache folder: what was asked for, else what the environment says, else the platform's default.
/// It need not exist.
///
/// # Errors
///
/// When none is named and the user has no folder of their own.
pub(crate) fn resolve(arg: &CacheDirArg) -> Result<PathBuf> {
    let path = match (&arg.cache_dir, variable(CACHE_DIR)) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => path.into(),
        (None, None) => FileSystemCache::default_dir("module-cache").map_err(|error| {
            let cause = error
                .source()
                .map_or(error.to_string(), ToString::to_string);
            anyhow!("{cause}, so there is no default for the cache folder; set {CACHE_DIR}")
        })?,
    };
    std::path::absolute(&path).with_context(|| format!("cannot find {}", path.display()))
}

/// Opens the cache folder, creating it if it does not exist. Of what was fetched into it, what `origins` does not accept is
/// not used.
///
/// # Errors
///
/// When there is no such folder to be had, or it cannot be trusted.
pub(crate) fn open(arg: &CacheDirArg, origins: Option<Trust>) -> Result<FileSystemCache> {
    options(arg, origins)?.open().map_err(explained)
}

fn options(arg: &CacheDirArg, origins: Option<Trust>) -> Result<FileSystemCacheBuilder> {
    let options = FileSystemCache::builder(resolve(arg)?);
    Ok(match origins {
        Some(origins) => options.origins(origins),
        None => options,
    })
}

fn explained(error: CacheError) -> anyhow::Error {
    match error {
        // Its text says what to do.
        CacheError::Untrusted { .. } => error.into(),
        error => {
            let is_private = matches!(
                &error,
                CacheError::Io { operation: "open the folder", source, .. }
                    if source.kind() == ErrorKind::PermissionDenied
            );
            let or = if is_private {
                ", or have root fill this one with `compile --world-readable`"
            } else {
                ""
            };
            anyhow!(
                "{:#}; choose another cache folder with --cache-dir{or}",
                anyhow::Error::from(error)
            )
        }
    }
}

/// Opens the cache folder to store something there, creating it if it does not exist.
///
/// # Errors
///
/// As for [`open`], and when the folder can be read only.
pub(crate) fn open_writable(arg: &CacheDirArg, origins: Option<Trust>) -> Result<FileSystemCache> {
    writable(open(arg, origins)?)
}

/// The same for a folder that every user of the machine may read from now on.
///
/// # Errors
///
/// As for [`open_writable`].
pub(crate) fn open_world_readable(
    arg: &CacheDirArg,
    origins: Option<Trust>,
) -> Result<FileSystemCache> {
    let options = options(arg, origins)?.world_readable();
    writable(options.open().map_err(explained)?)
}

/// The same for a folder that takes at most so many bytes from now on.
///
/// # Errors
///
/// As for [`open_writable`], and when the limit cannot be set.
pub(crate) fn open_with_limit(arg: &CacheDirArg, max_size: u64) -> Result<FileSystemCache> {
    let folder = open_writable(arg, None)?;
    folder.set_max_size(max_size)?;
    Ok(folder)
}

fn writable(folder: FileSystemCache) -> Result<FileSystemCache> {
    if !folder.is_writable() {
        bail!(
            "{} is read-only, so nothing can be stored there; choose another cache folder with \
             --cache-dir",
            folder.root().display()
        );
    }
    Ok(folder)
}

/// Opens the cache folder if there is one, or else says that there is none and creates nothing: whoever
/// looks at what is not there, or clears it away, may have named the wrong folder.
///
/// # Errors
///
/// As for [`open`].
pub(crate) fn open_existing(arg: &CacheDirArg) -> Result<Option<FileSystemCache>> {
    let root = resolve(arg)?;
    match root.join(FORMAT).symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            messages::note(format_args!("there is no cache at {}", root.display()));
            Ok(None)
        }
        // Whatever else is wrong with it shows when it is opened.
        _ => open(arg, None).map(Some),
    }
}
