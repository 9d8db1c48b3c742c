//! Loading for callers on tokio: callers wait without a thread, and the work is done on blocking threads.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use module_cache_core::{Compile, HashedModule, ModuleCache, ModuleHash};
use tokio::runtime::Handle;
use tokio::task;
use tracing::{Instrument, Span, debug_span};
use web_time::Instant;

use crate::compile_slots::Place;
use crate::in_flight::InFlight;
use crate::leader::{in_span, panic_as_error};
use crate::single_flight::LedByTasks;
use crate::{LoadError, Loaded, ModuleLoader};

/// A [`ModuleLoader`] for async callers. Clones share the loader, and so do threads that use it directly:
/// each module is compiled once for all of them.
///
/// - **A resident hit** is ready on the first poll; no task is switched.
/// - **Anything else** is done on the runtime's blocking threads, at most one for each module. Tasks wait without a
///   thread. While another process compiles a module, its load keeps its blocking thread.
/// - **A thread that asks for the module directly** does not wait for a load that has no thread, because it waits for one
///   or because a task fetches the wasm: it leads the load from there, and the tasks get its outcome.
/// - **Dropping a future cancels no load**, even if that future started it. Work that no caller waits for any more is
///   finished and saved.
/// - **A module is saved** after the futures are ready. Dropping the runtime waits for it; `shutdown_background` and
///   `std::process::exit` do not, and neither does `flush` of the cache.
/// - **When the runtime is shut down**, what is being compiled is finished. A load that has no thread, as during a fetch,
///   ends in [`LoadError::Abandoned`], and so does every later load that needs the runtime.
///
/// The futures can be polled by any executor; the runtime is where the work is done.
///
/// ```
/// use std::sync::Arc;
/// use module_cache_core::HashedModule;
/// use module_cache_loader::{AsyncModuleLoader, ModuleLoader, Source};
/// use tokio::runtime::Handle;
/// # use module_cache_testkit::{ReferenceCache, TestEngine, wasm};
/// # let (engine, cache, wasm) = (TestEngine::new("doc"), ReferenceCache::new(), wasm(1, 100));
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let loader = AsyncModuleLoader::new(ModuleLoader::new(engine, cache), Handle::current());
/// let module = Arc::new(HashedModule::new(wasm));
/// assert_eq!(loader.load(&module).await?.source, Source::Compiled);
/// # Ok::<(), module_cache_loader::LoadError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AsyncModuleLoader<E: Compile, C> {
    loader: Arc<ModuleLoader<E, C>>,
    handle: Handle,
}

impl<E, C> AsyncModuleLoader<E, C>
where
    E: Compile<Module: Send + Sync> + Send + Sync + 'static,
    C: ModuleCache<E> + Send + Sync + 'static,
{
    /// Loads through `loader`, which other threads may share, on the runtime of `handle`.
    pub fn new(loader: impl Into<Arc<ModuleLoader<E, C>>>, handle: Handle) -> Self {
        Self {
            loader: loader.into(),
            handle,
        }
    }

    /// Loads a module whose wasm the caller has.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be compiled, or the runtime is shut down.
    pub async fn load(
        &self,
        module: &Arc<HashedModule<'static>>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        self.load_led_by(module.hash(), |load| {
            let (loader, module) = (Arc::clone(&self.loader), Arc::clone(module));
            let span = loader.span(load.hash());
            self.handle.spawn_blocking(move || {
                if let Some(lead) = load.lead_here() {
                    let work = || loader.load_here(module.hash(), module.wasm(), Place::Front);
                    loader.finish(loader.lead(lead, span, work).1);
                }
            });
        })
        .await
    }

    /// Loads a module by its hash, and calls `fetch` for the wasm only on a miss.
    ///
    /// The caller is responsible for `fetch` returning the wasm of that hash. A task of the runtime awaits its future,
    /// which may use the network, `tokio::fs` and whatever else tasks may use; a current-thread runtime must be in
    /// `block_on` meanwhile. It must not wait for a load of the same module: a direct one is [`LoadError::Recursive`].
    ///
    /// As with [`ModuleLoader::load_with`], if several processes miss at the same time, each of them fetches and one
    /// compiles.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be fetched or compiled, or the runtime is shut down. A caller that waited
    /// for another load gets the error of that load.
    pub async fn load_with<Fetch, Wasm, W, F>(
        &self,
        hash: ModuleHash,
        fetch: Fetch,
    ) -> Result<Loaded<E::Module>, LoadError>
    where
        Fetch: FnOnce() -> Wasm + Send + 'static,
        Wasm: Future<Output = Result<W, F>> + Send,
        W: AsRef<[u8]> + Send + 'static,
        F: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        self.load_led_by(hash, |load| {
            let loader = Arc::clone(&self.loader);
            let span = loader.span(hash);
            self.handle.spawn_blocking(move || {
                let lead = load.lead_here()?;
                let found =
                    panic_as_error(hash, || Ok(in_span(span.clone(), || loader.find(hash))));
                if let Some(found) = found.transpose() {
                    loader.finish(loader.lead(lead, span, || found).1);
                    return None;
                }
                lead.give_up();
                let fetch_and_go_on = async move {
                    let fetched = fetch_for(load.in_flight(), hash, &span, fetch).await;
                    task::spawn_blocking(move || {
                        if let Some(lead) = load.lead_here() {
                            let work = || {
                                let wasm = fetched?;
                                let found =
                                    loader.find_or_compile(hash, wasm.as_ref(), Place::Front);
                                // Here, and not at the end: what is found would leak if this panicked then.
                                drop(wasm);
                                found
                            };
                            loader.finish(loader.lead(lead, span, work).1);
                        }
                    });
                };
                Some(task::spawn(fetch_and_go_on))
            });
        })
        .await
    }

    /// The loader behind this one, for callers on other threads, and for its [`stats`](ModuleLoader::stats).
    pub fn loader(&self) -> &Arc<ModuleLoader<E, C>> {
        &self.loader
    }

    /// Joins the load of this module, after `start` has sent off those who lead it, if it has to be begun.
    async fn load_led_by(
        &self,
        hash: ModuleHash,
        start: impl FnOnce(LedByTasks<E::Module>),
    ) -> Result<Loaded<E::Module>, LoadError> {
        if let Some(loaded) = self.loader.resident(hash) {
            return Ok(loaded);
        }
        if let Some(error) = self.loader.known_error(hash) {
            return Err(error);
        }
        let started = Instant::now();
        let joined = self.loader.join(hash);
        let in_flight = Arc::clone(&joined.in_flight);
        let outcome = if joined.first {
            let load = LedByTasks::new(joined);
            let watched = load.again();
            // A runtime that has no thread left to start one panics.
            let started = panic_as_error(hash, || {
                start(load);
                Ok(())
            });
            if started.is_ok() {
                // A runtime that is shut down drops its tasks at once, and what it has not begun some time later.
                self.handle.spawn(watched.until_completed());
            }
            in_flight.completed().await
        } else if is_fetching_for(&in_flight) || in_flight.is_led_here() {
            // It would wait for itself.
            Err(LoadError::Recursive(hash))
        } else {
            in_flight.completed().await
        };
        self.loader.answer(started, outcome)
    }
}

/// Awaits `fetch` in a task of its own, where a panic is something that can be told.
async fn fetch_for<M, Fetch, Wasm, W, F>(
    in_flight: &Arc<InFlight<M>>,
    hash: ModuleHash,
    span: &Span,
    fetch: Fetch,
) -> Result<W, LoadError>
where
    Fetch: FnOnce() -> Wasm + Send + 'static,
    Wasm: Future<Output = Result<W, F>> + Send,
    W: Send + 'static,
    F: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let span = span.clone();
    let fetching = async move {
        let span = debug_span!(parent: &span, "fetch");
        let fetched = async move { fetch().await }.instrument(span).await;
        fetched.map_err(|error| LoadError::fetch(hash, error))
    };
    let fetched = task::spawn(FETCHING_FOR.scope(address(in_flight), fetching));
    fetched.await.unwrap_or_else(|failure| {
        Err(match failure.try_into_panic() {
            Ok(panic) => LoadError::panicked(hash, &*panic),
            Err(_) => LoadError::Abandoned(hash),
        })
    })
}

tokio::task_local! {
    /// The load that this task fetches wasm for.
    static FETCHING_FOR: usize;
}

fn is_fetching_for<M>(in_flight: &Arc<InFlight<M>>) -> bool {
    FETCHING_FOR.try_with(|fetching_for| *fetching_for == address(in_flight)) == Ok(true)
}

fn address<M>(in_flight: &Arc<InFlight<M>>) -> usize {
    Arc::as_ptr(in_flight).addr()
}

impl<E: Compile, C> Clone for AsyncModuleLoader<E, C> {
    fn clone(&self) -> Self {
        Self {
            loader: Arc::clone(&self.loader),
            handle: self.handle.clone(),
        }
    }
}

impl<E: Compile + fmt::Debug, C: fmt::Debug> fmt::Debug for AsyncModuleLoader<E, C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("AsyncModuleLoader")
            .field("loader", &self.loader)
            .finish_non_exhaustive()
    }
}
