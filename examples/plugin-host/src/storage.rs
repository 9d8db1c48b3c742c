//! Where compiled plugins are kept: what the features say, and nowhere else in this package.

#[cfg(feature = "filesystem")]
use std::path::PathBuf;

use module_cache_core::{CacheError, ModuleCache};
#[cfg(any(feature = "filesystem", feature = "memory"))]
use module_cache_fallback::FallbackExt;
use module_cache_wasmtime::WasmtimeEngine;

use crate::NoStorage;

/// What the user says about the storages that are compiled in.
#[derive(Debug, clap::Args)]
pub struct Storage {
    /// Folder for compiled plugins, shared by any number of processes
    #[cfg(feature = "filesystem")]
    #[arg(long, value_name = "FOLDER")]
    pub cache_dir: PathBuf,
}

impl Storage {
    /// Opens a cache of all storages that are compiled in, the fastest in front.
    ///
    /// # Errors
    ///
    /// When one cannot be opened.
    pub fn open(&self) -> Result<impl ModuleCache<WasmtimeEngine> + use<>, CacheError> {
        let cache = NoStorage;
        #[cfg(feature = "filesystem")]
        let cache =
            module_cache_filesystem::FileSystemCache::open(&self.cache_dir)?.with_fallback(cache);
        #[cfg(feature = "memory")]
        let cache = module_cache_memory::in_memory().with_fallback(cache);
        Ok(cache)
    }
}
