//! A cache of this project behind the trait of wasmer-wasix: what runs outside of the executor, and which engines are
//! served.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use module_cache_core::{CacheError as CoreError, ModuleCache as Cache, ModuleHash, SaveOutcome};
use tokio::runtime::Handle;
use tracing::Span;
use wasmer::Module;
use wasmer::sys::NativeEngineExt;
use wasmer_types::ModuleHash as Sha256;
use wasmer_wasix::runtime::module_cache::progress::{
    ModuleLoadProgress, ModuleLoadProgressReporter,
};
use wasmer_wasix::runtime::module_cache::{CacheError, ModuleCache};

use crate::WasmerEngine;

/// Any cache of this project as the module cache of a wasmer-wasix runtime.
///
/// It is a handle: clones share the cache. The [module's documentation](super) shows how to set it up.
///
/// # What runs where
///
/// A module that is alive in this process is returned at the first poll, by the thread that polls. Everything else runs on
/// the blocking threads of the given tokio runtime, so any executor can poll it, also one without a tokio runtime. When
/// that runtime is shut down, calls return an error, which wasmer-wasix logs before it compiles.
///
/// # Engines
///
/// A runtime's engine is recognized by its [`Engine::id`](wasmer::Engine::id), which only its clones share. A clone that
/// was given [tunables](wasmer::sys::NativeEngineExt::set_tunables) of its own is another engine. For an engine that this
/// cache was not made with, every load is a miss and every save does nothing: it is unknown what its code depends on, and a
/// live module must not outlive its engine. This is not an error, which wasmer-wasix would log with each load; it is logged
/// once.
#[derive(Debug)]
pub struct WasixModuleCache<C> {
    pub(super) engines: Arc<[WasmerEngine]>,
    cache: Arc<C>,
    pub(super) handle: Handle,
    warned: Arc<AtomicBool>,
}

impl<C: Cache<WasmerEngine> + Send + Sync + 'static> WasixModuleCache<C> {
    /// Serves `engines` from `cache`, with the blocking threads of the runtime that `handle` belongs to.
    pub fn new(engines: impl IntoIterator<Item = WasmerEngine>, cache: C, handle: Handle) -> Self {
        Self {
            engines: engines.into_iter().collect(),
            cache: Arc::new(cache),
            handle,
            warned: Arc::default(),
        }
    }

    /// The cache behind it, for instance for its statistics.
    pub fn cache(&self) -> &Arc<C> {
        &self.cache
    }

    /// The engine of this crate that was made of `engine` or of its clone.
    fn known(&self, engine: &wasmer::Engine) -> Option<&WasmerEngine> {
        let known = self.engines.iter().find(|known| is_of(known, engine));
        if known.is_none() {
            let engine = engine.id();
            if self.warned.swap(true, Ordering::Relaxed) {
                tracing::debug!(?engine, "the module cache was not made with this engine");
            } else {
                tracing::warn!(
                    ?engine,
                    "nothing is cached for an engine that the module cache was not made with; \
                     give the runtime and the cache the same engine"
                );
            }
        }
        known
    }

    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        engine: &WasmerEngine,
        work: impl FnOnce(&C, &WasmerEngine) -> Result<T, CoreError> + Send + 'static,
    ) -> Result<T, CacheError> {
        let (cache, engine, span) = (Arc::clone(&self.cache), engine.clone(), Span::current());
        self.handle
            .spawn_blocking(move || span.in_scope(|| work(&cache, &engine)))
            .await
            .map_err(CacheError::other)?
            .map_err(CacheError::other)
    }
}

#[async_trait]
impl<C: Cache<WasmerEngine> + Send + Sync + 'static> ModuleCache for WasixModuleCache<C> {
    async fn load(&self, key: Sha256, engine: &wasmer::Engine) -> Result<Module, CacheError> {
        let engine = self.known(engine).ok_or(CacheError::NotFound)?;
        let key = module_hash(key);
        if let Some(module) = self.cache.load_resident(key, engine) {
            return Ok(module);
        }
        self.on_blocking_thread(engine, move |cache, engine| cache.load(key, engine))
            .await?
            .ok_or(CacheError::NotFound)
    }

    /// Reports a hit, when it is loaded. An abort then is an error, and wasmer-wasix goes on to compile,
    /// where it asks again.
    async fn load_with_progress(
        &self,
        key: Sha256,
        engine: &wasmer::Engine,
        on_progress: ModuleLoadProgressReporter,
    ) -> Result<Module, CacheError> {
        let module = self.load(key, engine).await?;
        on_progress
            .notify(ModuleLoadProgress::ArtifactCacheHit)
            .map_err(CacheError::other)?;
        Ok(module)
    }

    async fn contains(&self, key: Sha256, engine: &wasmer::Engine) -> Result<bool, CacheError> {
        let Some(engine) = self.known(engine) else {
            return Ok(false);
        };
        let key = module_hash(key);
        if self.cache.load_resident(key, engine).is_some() {
            return Ok(true);
        }
        self.on_blocking_thread(engine, move |cache, engine| cache.contains(key, engine))
            .await
    }

    async fn save(
        &self,
        key: Sha256,
        engine: &wasmer::Engine,
        module: &Module,
    ) -> Result<(), CacheError> {
        let Some(engine) = self.known(engine) else {
            return Ok(());
        };
        let (hash, module) = (module_hash(key), module.clone());
        let outcome = self
            .on_blocking_thread(engine, move |cache, engine| {
                cache.save(hash, engine, &module)
            })
            .await?;
        if let SaveOutcome::Skipped(reason) = outcome {
            tracing::debug!(%hash, %reason, "not saved");
        }
        Ok(())
    }
}

impl<C> Clone for WasixModuleCache<C> {
    fn clone(&self) -> Self {
        Self {
            engines: Arc::clone(&self.engines),
            cache: Arc::clone(&self.cache),
            handle: self.handle.clone(),
            warned: Arc::clone(&self.warned),
        }
    }
}

/// Whether modules of `engine` are modules of `known`.
pub(super) fn is_of(known: &WasmerEngine, engine: &wasmer::Engine) -> bool {
    let known = known.engine();
    known.id() == engine.id() && ptr::addr_eq(known.tunables(), engine.tunables())
}

/// wasmer-wasix's key, the SHA-256 of the wasm, as a key of this project.
pub(super) fn module_hash(key: Sha256) -> ModuleHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(key.as_bytes());
    ModuleHash::from_bytes(bytes)
}
