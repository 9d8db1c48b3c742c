//! The default folder of a program.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use etcetera::base_strategy::choose_native_strategy;
use module_cache_core::CacheError;

use crate::FileSystemCache;

impl FileSystemCache {
    /// The folder for a program of this name in the user's cache folder. It need not exist.
    ///
    /// | system | folder |
    /// |---|---|
    /// | Linux and similar | `$XDG_CACHE_HOME/<program>`, or `~/.cache/<program>` |
    /// | macOS | `~/Library/Caches/<program>` |
    /// | Windows | `%LOCALAPPDATA%\<program>` |
    ///
    /// ```
    /// use module_cache_filesystem::FileSystemCache;
    ///
    /// # if std::env::var_os("HOME").is_none() { return Ok(()); }
    /// let folder = FileSystemCache::default_dir("my-host")?;
    /// assert!(folder.is_absolute() && folder.ends_with("my-host"));
    /// # Ok::<(), module_cache_core::CacheError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the user has no such folder: a service or a container that runs without `HOME` is not meant to write to
    /// the folder that the system's database of users names. When `program` is a path, and not a name.
    pub fn default_dir(program: &str) -> Result<PathBuf, CacheError> {
        let error = |kind, text: &str| {
            CacheError::io(
                "find a cache folder for",
                program,
                io::Error::new(kind, text),
            )
        };
        if program.contains('\0') || Path::new(program).file_name() != Some(OsStr::new(program)) {
            let text = "it is not the name of a folder";
            return Err(error(io::ErrorKind::InvalidInput, text));
        }
        let absolute = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let is_apple = cfg!(target_vendor = "apple");
        if cfg!(unix) && !is_apple {
            if let Some(caches) = absolute("XDG_CACHE_HOME") {
                return Ok(caches.join(program));
            }
        }
        if cfg!(unix) && absolute("HOME").is_none() {
            let text = "HOME is not set, or not absolute";
            return Err(error(io::ErrorKind::NotFound, text));
        }
        let strategy = choose_native_strategy()
            .map_err(|_| error(io::ErrorKind::NotFound, "the user has no home folder"))?;
        Ok(strategy.cache_dir().join(program))
    }
}
