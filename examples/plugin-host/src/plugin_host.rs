//! The runtime: an engine, and the loader that brings it modules.

use std::error::Error;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use module_cache_core::{EngineError, HashedModule, ModuleCache};
use module_cache_loader::ModuleLoader;
use module_cache_wasmtime::{EngineBuilder, WasmtimeEngine};

use crate::{KnownModules, Limits, Plugin, Settings, ticker};

/// Loads plugins through a cache of any kind, and runs them on one engine.
#[derive(Debug)]
pub struct PluginHost<C> {
    loader: ModuleLoader<WasmtimeEngine, C>,
    known: KnownModules,
}

impl<C: ModuleCache<WasmtimeEngine>> PluginHost<C> {
    /// A host that keeps compiled plugins in `cache`.
    ///
    /// # Errors
    ///
    /// When the engine cannot be used here.
    pub fn new(settings: Settings, cache: C) -> Result<Self, EngineError> {
        let engine = EngineBuilder::new(&settings.config()).module_engine()?;
        ticker::start(engine.engine());
        Ok(Self {
            loader: ModuleLoader::new(engine, cache),
            known: KnownModules::default(),
        })
    }

    /// What loads the modules, for its engine and statistics.
    pub fn loader(&self) -> &ModuleLoader<WasmtimeEngine, C> {
        &self.loader
    }

    /// Loads every `.wasm` and `.wat` file of a folder, in the order of their names.
    ///
    /// # Errors
    ///
    /// When the folder or a file in it cannot be read, or is no plugin.
    pub fn load_folder(&self, folder: &Path, limits: Limits) -> Result<Vec<Plugin>> {
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
        let plugins = paths.iter().map(|path| self.load_file(path, limits));
        plugins.collect()
    }

    /// Loads one plugin.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is no plugin.
    pub fn load_file(&self, path: &Path, limits: Limits) -> Result<Plugin> {
        let load = || {
            let wasm = HashedModule::new(wat::parse_file(path)?);
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            self.load(&name, &wasm, limits)
        };
        let loaded = load().map_err(anyhow::Error::from_boxed);
        loaded.with_context(|| format!("{} is no plugin", path.display()))
    }

    /// Loads a plugin whose wasm the caller keeps.
    ///
    /// # Errors
    ///
    /// When it does not compile, or is no plugin.
    pub fn load(
        &self,
        name: &str,
        wasm: &HashedModule<'_>,
        limits: Limits,
    ) -> Result<Plugin, Box<dyn Error + Send + Sync>> {
        let loaded = self.loader.load(wasm)?;
        Ok(Plugin::start(name, limits, loaded)?)
    }

    /// Loads a plugin that a manifest names by its SHA-256, and whose wasm comes with it.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load), and when the wasm is needed and is not that of the SHA-256.
    pub fn load_known(
        &self,
        name: &str,
        sha256: [u8; 32],
        wasm: &[u8],
        limits: Limits,
    ) -> Result<Plugin, Box<dyn Error + Send + Sync>> {
        let loaded = self.known.load(&self.loader, sha256, wasm)?;
        Ok(Plugin::start(name, limits, loaded)?)
    }
}
