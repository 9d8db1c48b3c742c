//! Which folder is the cache.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use etcetera::BaseStrategy;
use etcetera::base_strategy::choose_native_strategy;
use module_cache::{CacheError, FileSystemCache};

use crate::args::CacheDirArg;
use crate::environment::{self, CACHE_DIR};
use crate::messages;

/// What a folder has below it once a cache was opened there.
const FORMAT: &str = "v1";

/// The cache folder: what was asked for, else what the environment says, else the platform's default.
/// It need not exist.
///
/// # Errors
///
/// When none is named and the user has no folder of their own.
pub(crate) fn resolve(arg: &CacheDirArg) -> Result<PathBuf> {
    let path = match (&arg.cache_dir, environment::get(CACHE_DIR)) {
        (Some(path), _) => path.clone(),
        (None, Some(path)) => path.into(),
        (None, None) => platform_default()?,
    };
    std::path::absolute(&path).with_context(|| format!("cannot find {}", path.display()))
}

/// Opens the cache folder, creating it if it does not exist.
///
/// # Errors
///
/// When there is no such folder to be had, or it cannot be trusted.
pub(crate) fn open(arg: &CacheDirArg) -> Result<FileSystemCache> {
    FileSystemCache::open(resolve(arg)?).map_err(|error| match error {
        // Its text says what to do.
        CacheError::Untrusted { .. } => error.into(),
        error => anyhow!(
            "{:#}; choose another cache folder with --cache-dir",
            anyhow::Error::from(error)
        ),
    })
}

/// Opens the cache folder to store something there, creating it if it does not exist.
///
/// # Errors
///
/// As for [`open`], and when the folder can be read only.
pub(crate) fn open_writable(arg: &CacheDirArg) -> Result<FileSystemCache> {
    let folder = open(arg)?;
    if !folder.is_writable() {
        bail!(
            "{} can be read only, so nothing can be stored there; choose another cache folder with \
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
        _ => open(arg).map(Some),
    }
}

fn platform_default() -> Result<PathBuf> {
    // Without HOME, the user database would be asked. A service or a container that runs without HOME is
    // not meant to write to the folder which that names.
    if cfg!(unix)
        && environment::get("HOME").is_none()
        && environment::get("XDG_CACHE_HOME").is_none()
    {
        bail!("HOME is not set, so there is no default for the cache folder; set {CACHE_DIR}");
    }
    let folder = choose_native_strategy()
        .with_context(|| format!("there is no default for the cache folder; set {CACHE_DIR}"))?
        .cache_dir();
    Ok(folder.join("module-cache"))
}
