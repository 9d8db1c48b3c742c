//! The functions of a folder: which there are, and how their modules are had.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use module_cache_core::ModuleHash;
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::TieredLoader;
use module_cache_memory::SharedCache;
use module_cache_wasmtime::{EngineBuilder, WasmtimeEngine};
use tokio::runtime::Handle;
use wasmtime::Module;

use crate::sandbox;

/// Resident functions in front of stored ones.
pub type Cache = FallbackCache<SharedCache<WasmtimeEngine>, FileSystemCache>;

/// What compiles fast is served at once, and what is fast as soon as it is compiled.
pub type Loader = TieredLoader<WasmtimeEngine, WasmtimeEngine, Cache>;

/// The functions of a folder, as it was when it was opened.
#[derive(Debug)]
pub struct Functions {
    by_name: HashMap<String, Arc<Function>>,
    loader: Arc<Loader>,
    handle: Handle,
}

impl Functions {
    /// Finds the functions: every `.wasm` or `.wat` file of `folder`, called like the file.
    ///
    /// What is compiled is kept in the folder `cache`, and up to `memory` bytes of it in memory. Modules
    /// are loaded on the blocking threads of the runtime behind `handle`.
    ///
    /// # Errors
    ///
    /// When a folder cannot be used, a file cannot be read, or two functions have one name.
    pub fn open(folder: &Path, cache: &Path, memory: u64, handle: Handle) -> Result<Self> {
        let tiers = EngineBuilder::new(&sandbox::config()).module_tiers()?;
        sandbox::start_clock([tiers.fast().engine(), tiers.best().engine()]);
        let cache =
            SharedCache::with_max_weight(memory).with_fallback(FileSystemCache::open(cache)?);
        Ok(Self {
            by_name: find(folder).with_context(|| format!("cannot use {}", folder.display()))?,
            loader: Arc::new(TieredLoader::new(tiers, cache)),
            handle,
        })
    }

    /// The newest module of a function; `None` where there is no such function.
    ///
    /// # Errors
    ///
    /// When it cannot be compiled, or its file changed.
    pub async fn module(&self, name: &str) -> Result<Option<Module>> {
        let Some(function) = self.by_name.get(name) else {
            return Ok(None);
        };
        if let Some((_tier, module)) = self.loader.resident(function.hash) {
            return Ok(Some(module));
        }
        let (loader, function) = (Arc::clone(&self.loader), Arc::clone(function));
        let load = move || {
            let hash = function.hash;
            // A request makes its store and instance itself, so there is nothing to prepare.
            let prepare = |_, _: &WasmtimeEngine, module| Ok::<Module, Infallible>(module);
            loader.load_with(hash, move || function.fetch(), prepare)
        };
        let loaded = self.handle.spawn_blocking(load).await??;
        Ok(Some(loaded.module.get().as_ref().clone()))
    }

    /// What loads the modules, for its engines, cache and statistics.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }
}

/// The wasm stays in its file until it must be compiled.
#[derive(Debug)]
struct Function {
    hash: ModuleHash,
    path: PathBuf,
}

impl Function {
    /// Reads the wasm again. Under the hash of what it was, what it is now would be stored for good.
    fn fetch(&self) -> Result<Vec<u8>> {
        let wasm = wat::parse_bytes(&fs::read(&self.path)?)?.into_owned();
        ensure!(
            ModuleHash::of(&wasm) == self.hash,
            "{} changed; start the server again",
            self.path.display()
        );
        Ok(wasm)
    }
}

fn find(folder: &Path) -> Result<HashMap<String, Arc<Function>>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let (Some(name), Some("wasm" | "wat")) = (
            path.file_stem().and_then(|stem| stem.to_str()),
            path.extension().and_then(|end| end.to_str()),
        ) else {
            continue;
        };
        let name = name.to_owned();
        let hash = ModuleHash::of(&wat::parse_file(&path)?);
        ensure!(
            !found.contains_key(&name),
            "there are two functions called {name}; remove one"
        );
        found.insert(name, Arc::new(Function { hash, path }));
    }
    Ok(found)
}
