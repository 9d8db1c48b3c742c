//! The functions of a folder: which there are, and how their modules are had.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use module_cache_core::ModuleHash;
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{AsyncModuleLoader, LoadError, ModuleLoader};
use module_cache_memory::SharedCache;
use module_cache_wasmtime::WasmtimeEngine;
use tokio::runtime::Handle;
use wasmtime::Module;

use crate::sandbox;

/// Resident functions in front of stored ones.
pub type Cache = FallbackCache<SharedCache<WasmtimeEngine>, FileSystemCache>;

/// The functions of a folder, as it was when it was opened.
#[derive(Debug)]
pub struct Functions {
    by_name: HashMap<String, Arc<Function>>,
    loader: AsyncModuleLoader<WasmtimeEngine, Cache>,
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
        let engine = sandbox::engine().map_err(|error| anyhow::Error::from_boxed(error.into()))?;
        let engine = WasmtimeEngine::new(&engine)?;
        let cache =
            SharedCache::with_max_weight(memory).with_fallback(FileSystemCache::open(cache)?);
        Ok(Self {
            by_name: find(folder).with_context(|| format!("cannot use {}", folder.display()))?,
            loader: AsyncModuleLoader::new(ModuleLoader::new(engine, cache), handle),
        })
    }

    /// The module of a function; `None` where there is no such function.
    ///
    /// # Errors
    ///
    /// When it cannot be compiled, or its file changed.
    pub async fn module(&self, name: &str) -> Result<Option<Module>, LoadError> {
        let Some(function) = self.by_name.get(name) else {
            return Ok(None);
        };
        let fetch = {
            let function = Arc::clone(function);
            move || async move { function.fetch().await }
        };
        let loaded = self.loader.load_with(function.hash, fetch).await?;
        Ok(Some(loaded.module))
    }

    /// What loads the modules, for its engine, cache and statistics.
    pub fn loader(&self) -> &ModuleLoader<WasmtimeEngine, Cache> {
        self.loader.loader()
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
    async fn fetch(&self) -> Result<Vec<u8>> {
        let wasm = wat::parse_bytes(&tokio::fs::read(&self.path).await?)?.into_owned();
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
