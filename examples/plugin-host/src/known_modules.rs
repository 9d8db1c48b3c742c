//! Modules that callers name by SHA-256, so that wasm which comes with each request is not hashed each time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_loader::{Loaded, ModuleLoader};
use sha2::{Digest, Sha256};

/// The cache's keys of modules by the SHA-256 that a manifest names, of those whose wasm was seen.
#[derive(Debug, Default)]
pub struct KnownModules(Mutex<HashMap<[u8; 32], ModuleHash>>);

impl KnownModules {
    /// Loads the module of this SHA-256, of which `wasm` may be the bytes: they are hashed if the SHA-256 is new, and
    /// before they are compiled.
    ///
    /// # Errors
    ///
    /// When the bytes are needed and are others, or do not compile.
    pub fn load<E: Compile, C: ModuleCache<E>>(
        &self,
        loader: &ModuleLoader<E, C>,
        sha256: [u8; 32],
        wasm: &[u8],
    ) -> Result<Loaded<E::Module>> {
        let key = self.key(sha256, wasm)?;
        let loaded = loader.load_with(key, || {
            ensure!(ModuleHash::of(wasm) == key, "the manifest names other wasm");
            Ok(wasm)
        });
        Ok(loaded?)
    }

    fn key(&self, sha256: [u8; 32], wasm: &[u8]) -> Result<ModuleHash> {
        if let Some(key) = self.lock().get(&sha256) {
            return Ok(*key);
        }
        let actual: [u8; 32] = Sha256::digest(wasm).into();
        ensure!(actual == sha256, "the manifest names other wasm");
        let key = ModuleHash::of(wasm);
        self.lock().insert(sha256, key);
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], ModuleHash>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
