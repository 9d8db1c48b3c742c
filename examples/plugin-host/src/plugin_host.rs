//! The runtime: an engine, and the loader that brings it modules.

use std::error::Error;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use module_cache_core::{EngineError, HashedModule, ModuleCache};
use module_cache_loader::ModuleLoader;
use module_cache_wasmtime::WasmtimeEngine;

use crate::Plugin;

/// Loads plugins through a cache of any kind.
#[derive(Debug)]
pub struct PluginHost<C> {
    loader: ModuleLoader<WasmtimeEngine, C>,
}

impl<C: ModuleCache<WasmtimeEngine>> PluginHost<C> {
    /// A host that keeps compiled plugins in `cache`.
    ///
    /// # Errors
    ///
    /// When the engine cannot be used here.
    pub fn new(cache: C) -> Result<Self, EngineError> {
        let engine = WasmtimeEngine::new(&wasmtime::Engine::default())?;
        Ok(Self {
            loader: ModuleLoader::new(engine, cache),
        })
    }

    /// Loads every `.wasm` and `.wat` file of a folder, in the order of their names.
    ///
    /// # Errors
    ///
    /// When the folder or a file in it cannot be read, or is no plugin.
    pub fn load_folder(&self, folder: &Path) -> Result<Vec<Plugin>> {
        let unreadable = || format!("cannot read {}", folder.display());
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder).with_context(unreadable)? {
            paths.push(entry.with_context(unreadable)?.path());
        }
        paths.retain(|path| {
            path.extension()
                .is_some_and(|end| end == "wasm" || end == "wat")
        });
        paths.sort();
        paths.iter().map(|path| self.load(path)).collect()
    }

    /// Loads one plugin.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no plugin.
    pub fn load(&self, path: &Path) -> Result<Plugin> {
        let loaded = self.start(path).map_err(anyhow::Error::from_boxed);
        loaded.with_context(|| format!("{} is no plugin", path.display()))
    }

    fn start(&self, path: &Path) -> Result<Plugin, Box<dyn Error + Send + Sync>> {
        let module = HashedModule::new(wat::parse_file(path)?);
        let loaded = self.loader.load(&module)?;
        Ok(Plugin::start(path, loaded)?)
    }
}
