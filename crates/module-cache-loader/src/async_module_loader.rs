//! Loading for callers on tokio: they wait without a thread, and the work is done on blocking threads.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use module_cache_core::{Compile, HashedModule, ModuleCache, ModuleHash};
use tokio::runtime::Handle;
use tokio::task;
use tracing::{Instrument, debug_span};
use web_time::Instant;

use crate::flight::Flight;
use crate::flights::{Boarding, Lead};
use crate::{LoadError, Loaded, ModuleLoader};

/// A [`ModuleLoader`] for async callers. Clones share the loader, and so do threads that use it directly:
/// each module is compiled once for all of them.
///
/// - **A resident hit** is ready on the first poll; no task is switched.
/// - **Anything else** is done on the runtime's blocking threads, one for each module at most, however many
///   tasks wait for it. They wait without a thread.
/// - **Dropping a future cancels nobody's load**: not even that of the first, who started it. Work that
///   nobody waits for any longer is finished and saved.
/// - **Saving** is nobody's wait: also the one who started a load gets the module before it is saved.
/// - **When the runtime is shut down**, what is being compiled is finished, a fetch ends in
///   [`LoadError::Abandoned`], and so does every later load that would need the runtime.
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
    /// Loads through `loader` (one that is shared already, or a new one) on the runtime of `handle`.
    pub fn new(loader: impl Into<Arc<ModuleLoader<E, C>>>, handle: Handle) -> Self {
        Self {
            loader: loader.into(),
            handle,
        }
    }

    /// Loads a module whose wasm is at hand.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be compiled, or the runtime is shut down.
    pub async fn load(
        &self,
        module: &Arc<HashedModule<'static>>,
    ) -> Result<Loaded<E::Module>, LoadError> {
        self.load_led_by(module.hash(), |lead| {
            let (loader, module) = (Arc::clone(&self.loader), Arc::clone(module));
            let work = move || loader.lead(lead, || Ok::<_, Infallible>(module.wasm()));
            self.handle.spawn_blocking(work);
        })
        .await
    }

    /// Loads a module by its hash, and calls `fetch` for the wasm only on a miss.
    ///
    /// The caller answers for `fetch` returning the wasm of that hash. What it returns is awaited by a task
    /// of the runtime, so it may use whatever tasks may, the network and `tokio::fs` among them; on a
    /// current-thread runtime, it needs somebody in `block_on`. It must not wait for a load of its own
    /// module: a direct one is [`LoadError::Recursive`].
    ///
    /// Unlike [`ModuleLoader::load_with`], this fetches before it asks leave to compile. Who has leave then
    /// waits for nothing but the compiler, and no blocking thread waits for a fetch that may need one
    /// itself. Of processes that miss at the same moment each fetches, and one compiles.
    ///
    /// # Errors
    ///
    /// When the module is not cached and cannot be fetched or compiled, or the runtime is shut down. Who
    /// waited gets the error of the load it waited for.
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
        self.load_led_by(hash, |lead| {
            let loader = Arc::clone(&self.loader);
            self.handle.spawn_blocking(move || {
                let lead = loader.lead_until_miss(lead)?;
                let fetch_and_go_on = async move {
                    let fetched = fetch_for(&lead, fetch).await;
                    task::spawn_blocking(move || match fetched {
                        Ok(wasm) => loader.lead_after_miss(lead, wasm.as_ref()),
                        Err(error) => loader.land(lead, Err(error)),
                    });
                };
                Some(task::spawn(fetch_and_go_on))
            });
        })
        .await
    }

    /// The loader behind this one, for callers on threads of their own, and for its
    /// [`stats`](ModuleLoader::stats).
    pub fn loader(&self) -> &Arc<ModuleLoader<E, C>> {
        &self.loader
    }

    async fn load_led_by(
        &self,
        hash: ModuleHash,
        start: impl FnOnce(Lead<E::Module>),
    ) -> Result<Loaded<E::Module>, LoadError> {
        let started = Instant::now();
        if let Some(loaded) = self.loader.resident(started, hash) {
            return Ok(loaded);
        }
        let outcome = match self.board(hash, start) {
            Some(flight) => flight.landed().await,
            None => None,
        };
        self.loader
            .answer(started, outcome.unwrap_or(Err(LoadError::Recursive(hash))))
    }

    /// The flight to wait for, after `start` has sent its leader off, if it has none. `None` for the task
    /// that fetches for that flight: it would wait for itself.
    fn board(
        &self,
        hash: ModuleHash,
        start: impl FnOnce(Lead<E::Module>),
    ) -> Option<Arc<Flight<E::Module>>> {
        match self.loader.board(hash) {
            Boarding::Lead(lead) => {
                let flight = Arc::clone(lead.flight());
                start(lead);
                Some(flight)
            }
            Boarding::Wait(flight) => (!is_fetching_for(&flight)).then_some(flight),
        }
    }
}

/// Awaits `fetch` in a task of its own, where a panic is something that can be told.
async fn fetch_for<M, Fetch, Wasm, W, F>(lead: &Lead<M>, fetch: Fetch) -> Result<W, LoadError>
where
    M: Clone,
    Fetch: FnOnce() -> Wasm + Send + 'static,
    Wasm: Future<Output = Result<W, F>> + Send,
    W: Send + 'static,
    F: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let hash = lead.hash();
    let span = debug_span!(parent: lead.span(), "fetch");
    let fetching = async move { fetch().await }.instrument(span);
    let fetched = task::spawn(FETCHING_FOR.scope(address(lead.flight()), fetching));
    match fetched.await {
        Ok(fetched) => fetched.map_err(|error| LoadError::fetch(hash, error)),
        Err(failure) => Err(match failure.try_into_panic() {
            Ok(panic) => LoadError::panicked(hash, &*panic),
            Err(_) => LoadError::Abandoned(hash),
        }),
    }
}

tokio::task_local! {
    /// The flight that this task fetches wasm for.
    static FETCHING_FOR: usize;
}

fn is_fetching_for<M>(flight: &Arc<Flight<M>>) -> bool {
    FETCHING_FOR.try_with(|fetching_for| *fetching_for == address(flight)) == Ok(true)
}

fn address<M>(flight: &Arc<Flight<M>>) -> usize {
    Arc::as_ptr(flight).addr()
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
