//! Load-or-compile without blocking: which task compiles, which ones wait, and in which order.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};
use js_sys::WebAssembly::Module;
use module_cache_core::{CacheError, HashedModule, ModuleCache, ModuleHash, SaveOutcome};
use module_cache_loader::{LoadError, Loaded, LoaderStats, Source};
use wasm_bindgen_futures::spawn_local;
use web_time::Instant;

use crate::{Wasm, WebEngine};

/// Loads modules from a cache and compiles what it does not have, each once.
///
/// This is the `ModuleLoader` for the tasks of one page or worker:
///
/// - **Once per worker**: if several tasks ask for a module, the first starts to fetch and compile it, and all get its
///   outcome, a module or an error. Errors are not kept: the next load tries again.
/// - **A compilation that was begun is finished** even if all futures that wait for it are dropped. The cache has the
///   module afterwards.
/// - **A broken cache costs time, not the load**: its errors are counted, logged (the first as a warning)
///   and never returned.
///
/// It is a handle: clones share the cache, the loads in flight and the statistics.
///
/// Caches here are of live modules, so it asks none of them for
/// [a permit to compile](ModuleCache::compile_permit), which would have to block.
pub struct WebModuleLoader<C>(Rc<State<C>>);

impl<C: ModuleCache<WebEngine> + 'static> WebModuleLoader<C> {
    /// A loader for this cache, which is usually `in_memory()` of `module-cache-memory`.
    pub fn new(cache: C) -> Self {
        Self(Rc::new(State {
            cache,
            in_flight: RefCell::default(),
            fetching: RefCell::default(),
            stats: Cell::default(),
        }))
    }

    /// Loads a module whose wasm the caller has. The wasm is copied out of this program's memory only if it must be
    /// compiled.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be compiled.
    pub async fn load(&self, module: &HashedModule<'_>) -> Result<Loaded<Module>, LoadError> {
        let copy = || ready(Ok::<_, Infallible>(Wasm::from(module.wasm())));
        self.load_with(module.hash(), copy).await
    }

    /// Loads a module by its hash, and calls `fetch` for the wasm only if it must be compiled.
    ///
    /// The caller is responsible for `fetch` returning the wasm of that hash; [`fetch_wasm`](crate::fetch_wasm) suffices if
    /// the URL identifies the contents.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be fetched or compiled. A load that waited for another gets the error of
    /// that one. [`LoadError::Recursive`] when `fetch` itself asks for the module that it is to return.
    pub async fn load_with<Fetch, W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Fetch,
    ) -> Result<Loaded<Module>, LoadError>
    where
        Fetch: Future<Output = Result<W, F>> + 'static,
        W: Into<Wasm>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let started = Instant::now();
        let outcome = match self.0.find(hash) {
            Some(found) => Ok(found),
            None => self.join(hash, fetch).await,
        };
        match outcome {
            Ok((module, source)) => Ok(Loaded::new(module, source, started.elapsed())),
            Err(error) => {
                self.0.count(|stats| stats.failed += 1);
                Err(error)
            }
        }
    }

    /// The cache that modules are looked up in.
    pub fn cache(&self) -> &C {
        &self.0.cache
    }

    /// What this loader has done so far.
    pub fn stats(&self) -> LoaderStats {
        self.0.stats.get()
    }

    /// Joins the load of this module, or starts one.
    async fn join<Fetch, W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl FnOnce() -> Fetch,
    ) -> Result<(Module, Source), LoadError>
    where
        Fetch: Future<Output = Result<W, F>> + 'static,
        W: Into<Wasm>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        if self.0.fetching.borrow().contains(&hash) {
            return Err(LoadError::Recursive(hash));
        }
        let under_way = self.0.in_flight.borrow().get(&hash).cloned();
        let load = match under_way {
            Some(load) => {
                self.0.count(|stats| stats.coalesced += 1);
                load
            }
            None => self.start(hash, fetch()),
        };
        Ok((load.await?, Source::Compiled))
    }

    fn start<Fetch, W, F>(&self, hash: ModuleHash, fetch: Fetch) -> InFlight
    where
        Fetch: Future<Output = Result<W, F>> + 'static,
        W: Into<Wasm>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let state = Rc::clone(&self.0);
        let load = async move {
            let compiled = state.compile(hash, fetch).await;
            state.in_flight.borrow_mut().remove(&hash);
            compiled
        }
        .boxed_local()
        .shared();
        self.0.in_flight.borrow_mut().insert(hash, load.clone());
        // Whoever asked may stop waiting, and others may have joined.
        spawn_local(load.clone().map(drop));
        load
    }
}

impl<C> Clone for WebModuleLoader<C> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<C: fmt::Debug> fmt::Debug for WebModuleLoader<C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WebModuleLoader")
            .field("cache", &self.0.cache)
            .field("stats", &self.0.stats.get())
            .finish_non_exhaustive()
    }
}

/// A load under way, of which everybody gets the outcome.
type InFlight = Shared<LocalBoxFuture<'static, Result<Module, LoadError>>>;

struct State<C> {
    cache: C,
    in_flight: RefCell<HashMap<ModuleHash, InFlight>>,
    /// The modules whose `fetch` is running at this moment: one that asks for its own would wait for itself.
    fetching: RefCell<Vec<ModuleHash>>,
    stats: Cell<LoaderStats>,
}

impl<C: ModuleCache<WebEngine>> State<C> {
    fn find(&self, hash: ModuleHash) -> Option<(Module, Source)> {
        if let Some(module) = self.cache.load_resident(hash, &WebEngine) {
            self.count(|stats| stats.resident += 1);
            return Some((module, Source::Resident));
        }
        // While it is under way, the cache does not have it.
        if self.in_flight.borrow().contains_key(&hash) {
            return None;
        }
        let module = self.look_up(hash)?;
        self.count(|stats| stats.stored += 1);
        Some((module, Source::Stored))
    }

    async fn compile<W, F>(
        &self,
        hash: ModuleHash,
        fetch: impl Future<Output = Result<W, F>>,
    ) -> Result<Module, LoadError>
    where
        W: Into<Wasm>,
        F: Into<Box<dyn Error + Send + Sync>>,
    {
        let wasm = self
            .fetch(hash, fetch)
            .await
            .map_err(|error| LoadError::Fetch {
                hash,
                source: Arc::from(error.into()),
            })?;
        let module = WebEngine.compile(wasm).await?;
        self.count(|stats| stats.compiled += 1);
        tracing::debug!(%hash, "compiled");
        self.save(hash, &module);
        Ok(module)
    }

    /// Polls `fetch` and leaves a note for as long as that takes.
    async fn fetch<T>(&self, hash: ModuleHash, fetch: impl Future<Output = T>) -> T {
        let mut fetch = pin!(fetch);
        poll_fn(|context| {
            self.fetching.borrow_mut().push(hash);
            let polled = fetch.as_mut().poll(context);
            self.fetching.borrow_mut().pop();
            polled
        })
        .await
    }

    fn look_up(&self, hash: ModuleHash) -> Option<Module> {
        self.cache.load(hash, &WebEngine).unwrap_or_else(|error| {
            self.cache_error(hash, &error);
            None
        })
    }

    fn save(&self, hash: ModuleHash, module: &Module) {
        match self.cache.save(hash, &WebEngine, module) {
            Ok(SaveOutcome::Stored { bytes }) => tracing::debug!(%hash, bytes, "saved"),
            Ok(SaveOutcome::Skipped(reason)) => tracing::debug!(%hash, %reason, "not saved"),
            Err(error) => self.cache_error(hash, &error),
        }
    }

    /// Counts an error of the cache. The first is worth a warning, and not each of thousands.
    fn cache_error(&self, hash: ModuleHash, error: &CacheError) {
        let cause = error.source().map(tracing::field::display);
        if self.stats.get().cache_errors == 0 {
            tracing::warn!(%hash, %error, cause, "the cache does not work; going on without it");
        } else {
            tracing::debug!(%hash, %error, cause, "the cache does not work");
        }
        self.count(|stats| stats.cache_errors += 1);
    }

    fn count(&self, change: impl FnOnce(&mut LoaderStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }
}
