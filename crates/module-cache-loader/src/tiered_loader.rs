//! The loader of two tiers: serves a fast compiler's code until the best compiler is done.

use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use module_cache_core::{Compile, HashedModule, ModuleCache, ModuleHash, Tiers};
use parking_lot::Mutex;
use tracing::debug;
use web_time::Instant;

use crate::compile_slots::Behind;
use crate::leader::{log, panic_as_error};
use crate::remembered::Remembered;
use crate::single_flight::SingleFlight;
use crate::two_loaders::{AtHand, Fetched, First, Origin, TwoLoaders, Upgrade, work};
use crate::upgrades::{Upgrades, Waiter, Waiting};
use crate::{LoadError, Loaded, ModuleLoader, Tier, TierStats, Tiered};

/// How long a module stays on fast behind compilations that somebody waits for.
const LONGEST_ON_FAST: Duration = Duration::new(60, 0);

/// Threads beside those that compile: they wait for other processes that compile a module.
const WAITING_WORKERS: usize = 8;

/// Loads modules of two engines over one cache: serves code that compiles fast until fast code is ready.
///
/// - **A load returns what is ready first**: the best module if it is stored, without compiling anything; or else the fast
///   one, stored or compiled, while best is compiled in the background. So a later start loads the best module, as without
///   tiers. While an upgrade is pending and the fast module is in memory, loads return it without looking for best.
/// - **A handle returns the newest value.** [`Tiered::get`] takes the time of a memory hit. The caller's `prepare` makes
///   from a module what requests use, once for each tier, because modules, linkers and stores belong to one engine.
/// - **Best is compiled once** by all processes that share the cache, as with [`ModuleLoader`]; so is fast.
/// - **Compilations that callers wait for go first.** In the background, one module is compiled at a time
///   ([`Compile::compile_behind`]), starting when no other compilation waits or runs. After a minute on fast, a module
///   queues with all others. While [upgrades are paused](Self::pause_upgrades), for instance on battery, no
///   background compilation gets its turn, and the loader keeps the wasm of each module that waits.
/// - **If best fails, fast stays in use**: if it does not compile, panics or cannot be prepared. The failure is counted
///   and remembered for ten minutes, for the last 1,024 such modules; the first load after that tries again. If that succeeds,
///   older handles get best, too. Once a caller prepared best, one that cannot keeps no other from it.
/// - **Wasm that fast does not compile waits for best.** This is remembered for ten minutes, so that fast is not tried each
///   time.
/// - **Fast is removed.** Once best is saved, the thread that upgraded the module removes the fast one from the cache, and
///   its prepared value is dropped when the last request that has it ends. What a process left that ended in between is
///   evicted from folders, because nobody uses it.
///
/// Nine threads upgrade modules (more with [`with_max_compiles_behind`](Self::with_max_compiles_behind)). Nine upgrades that
/// wait, for another process that compiles, for `fetch`, `prepare` or the cache, hold up all others. So `prepare` must not
/// wait for upgrades.
///
/// Keep the handle, because each load prepares what it returns. A host that does not keep handles asks
/// [`resident`](Self::resident) first. An async host does the same, loads on a blocking thread if that returns nothing, and
/// can await [`Tiered::upgraded`].
///
/// The pair of engines comes from an adapter, which creates both of one configuration. The host must tick clocks, such as
/// epochs of wasmtime, for both engines, and must trust both compilers with its guests: `docs/tiers.md` says what that
/// means for Winch.
///
/// ```
/// use std::sync::Arc;
/// use module_cache_core::{HashedModule, Tiers};
/// use module_cache_loader::{Tier, TieredLoader};
/// # use module_cache_core::EngineError;
/// # use module_cache_testkit::{ReferenceCache, TestEngine, wasm};
/// # let (fast, best, cache) = (TestEngine::new("fast"), TestEngine::new("best"), ReferenceCache::new());
/// # let wasm = wasm(1, 100);
///
/// let loader = TieredLoader::new(Tiers::pair(fast, best)?, cache);
/// let plugin = Arc::new(HashedModule::new(wasm));
/// // In place of the module's length, what a linker makes of it.
/// let loaded = loader.load(&plugin, |_tier, _engine, module| Ok::<_, EngineError>(module.wasm().len()))?;
/// let app = loaded.module;
/// assert_eq!(*app.get(), 100);
/// app.wait_upgraded()?;
/// assert_eq!(app.tier(), Tier::Best);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TieredLoader<Fast: Compile, Best: Compile, C>(Arc<TwoLoaders<Fast, Best, C>>);

/// What a load returns.
type LoadedTiers<T> = Result<Loaded<Tiered<T>>, LoadError>;

impl<Fast, Best, C> TieredLoader<Fast, Best, C>
where
    Fast: Compile<Module: Send + Sync> + Send + Sync + 'static,
    Best: Compile<Module: Send + Sync> + Send + Sync + 'static,
    C: ModuleCache<Fast> + ModuleCache<Best> + Send + Sync + 'static,
{
    /// A loader that compiles as many modules at a time as there are cores, and one in the background.
    pub fn new(tiers: Tiers<Fast, Best>, cache: C) -> Self {
        let (fast, best) = tiers.into_parts();
        let cache = Arc::new(cache);
        let fast = ModuleLoader::new(fast, Arc::clone(&cache));
        let mut best = ModuleLoader::new(best, Arc::clone(&cache));
        best.slots = Arc::clone(&fast.slots);
        Self(Arc::new(TwoLoaders {
            slots: Arc::clone(&fast.slots),
            fast,
            best,
            cache,
            looking: Arc::new(SingleFlight::new()),
            refused: Remembered::default(),
            kept: Remembered::default(),
            without_fast: AtomicU64::new(0),
            upgrades: Upgrades::new(),
            most_behind: NonZeroUsize::MIN,
            longest_on_fast: LONGEST_ON_FAST,
            saves: Mutex::default(),
        }))
    }

    /// Limits how many modules of both tiers are compiled at a time for callers that wait.
    ///
    /// # Panics
    ///
    /// While the loader upgrades or saves modules: configure it before it is used.
    #[must_use]
    pub fn with_max_compiles(self, count: NonZeroUsize) -> Self {
        self.configured(|shared| shared.slots.set_count(count))
    }

    /// Limits how many modules are compiled at a time in the background.
    ///
    /// # Panics
    ///
    /// While the loader upgrades or saves modules: configure it before it is used.
    #[must_use]
    pub fn with_max_compiles_behind(self, count: NonZeroUsize) -> Self {
        self.configured(|shared| shared.most_behind = count)
    }

    /// Limits how long a module stays on fast while modules are compiled that callers wait for. After that time, it queues
    /// with those.
    ///
    /// # Panics
    ///
    /// While the loader upgrades or saves modules: configure it before it is used.
    #[must_use]
    pub fn with_max_time_on_fast(self, time: Duration) -> Self {
        self.configured(|shared| shared.longest_on_fast = time)
    }

    /// Stops giving compilations in the background their turn; those that have it go on. Until they are resumed, modules
    /// whose best code is not stored are served on fast.
    pub fn pause_upgrades(&self) {
        self.0.slots.pause_behind();
    }

    /// Starts compilations in the background again.
    pub fn resume_upgrades(&self) {
        self.0.slots.resume_behind();
    }

    /// Like [`load_with`](TieredLoader::load_with), for two engines of different types, with a `prepare` function for each.
    ///
    /// # Errors
    ///
    /// As for [`load`](TieredLoader::load).
    pub fn load_each_with<T, W, F, X>(
        &self,
        hash: ModuleHash,
        fetch: impl Fn() -> Result<W, F> + Send + Sync + 'static,
        prepare_fast: impl FnOnce(&Fast, Fast::Module) -> Result<T, X>,
        prepare_best: impl Fn(&Best, Best::Module) -> Result<T, X> + Send + Sync + 'static,
    ) -> LoadedTiers<T>
    where
        T: Send + Sync + 'static,
        W: AsRef<[u8]> + 'static,
        F: Into<Box<dyn Error + Send + Sync>> + 'static,
        X: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.load_tiers(Fetched { hash, fetch }, prepare_fast, prepare_best)
    }

    /// The engine that compiles fast.
    pub fn fast_engine(&self) -> &Fast {
        self.0.fast.engine()
    }

    /// The engine whose code is fast.
    pub fn best_engine(&self) -> &Best {
        self.0.best.engine()
    }

    /// The cache that modules of both engines are looked up in.
    pub fn cache(&self) -> &C {
        &self.0.cache
    }

    /// What this loader has done so far.
    pub fn stats(&self) -> TierStats {
        let shared = &self.0;
        TierStats {
            fast: shared.fast.stats(),
            best: shared.best.stats(),
            upgraded: shared.upgrades.done.load(Ordering::Relaxed),
            failed_upgrades: shared.upgrades.failures.load(Ordering::Relaxed),
            pending_upgrades: shared.upgrades.pending(),
            without_fast: shared.without_fast.load(Ordering::Relaxed),
        }
    }

    fn configured(mut self, change: impl FnOnce(&mut TwoLoaders<Fast, Best, C>)) -> Self {
        let shared = Arc::get_mut(&mut self.0);
        change(shared.expect("a loader is configured before it is used"));
        self
    }

    fn load_tiers<T, X>(
        &self,
        origin: impl Origin,
        prepare_fast: impl FnOnce(&Fast, Fast::Module) -> Result<T, X>,
        prepare_best: impl Fn(&Best, Best::Module) -> Result<T, X> + Send + Sync + 'static,
    ) -> LoadedTiers<T>
    where
        T: Send + Sync + 'static,
        X: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let (shared, hash) = (&self.0, origin.hash());
        let failed = |tier| move |error| LoadError::prepare(hash, tier, error);
        let fast = match shared.first(&origin)? {
            First::Fast(loaded) => loaded,
            First::Best(loaded) => {
                let engine = shared.best.engine();
                let prepared = panic_as_error(hash, || {
                    let prepared = loaded.try_map(|module| prepare_best(engine, module));
                    prepared.map_err(failed(Tier::Best))
                });
                match prepared {
                    Ok(loaded) => {
                        shared.upgrades.prepared(hash);
                        self.served_on_best(origin);
                        return Ok(loaded.map(Tiered::on_best));
                    }
                    Err(error) => shared.fast_instead(&origin, error)?,
                }
            }
        };
        let prepared = fast.try_map(|module| prepare_fast(shared.fast.engine(), module));
        let loaded = prepared.map_err(failed(Tier::Fast))?.map(Tiered::on_fast);
        let waiting = Waiting::new(loaded.module.cell(), hash, prepare_best);
        self.upgrade(origin, Some(Arc::new(waiting)));
        Ok(loaded)
    }

    /// Sees to it that handles that stayed on fast before get best.
    fn served_on_best(&self, origin: impl Origin) {
        let (shared, hash) = (&*self.0, origin.hash());
        if shared.upgrades.has_stayed(hash) {
            self.upgrade(origin, None);
        }
    }

    /// Sees to it that the handle gets its best module, and those that stayed on fast.
    fn upgrade(&self, origin: impl Origin, waiting: Option<Arc<dyn Waiter<Best>>>) {
        let (shared, hash) = (&*self.0, origin.hash());
        let behind = Behind {
            most: shared.most_behind,
            until: Instant::now().checked_add(shared.longest_on_fast),
        };
        let job = || Upgrade {
            behind,
            load: Box::new(move |loader, place| origin.load(loader, place, ModuleLoader::finish)),
        };
        let is_needed = shared.upgrades.add(hash, waiting, job, self.most_workers());
        self.start_worker(hash, is_needed);
    }

    fn most_workers(&self) -> usize {
        self.0.most_behind.get().saturating_add(WAITING_WORKERS)
    }

    fn start_worker(&self, hash: ModuleHash, is_needed: bool) {
        if is_needed {
            let shared = Arc::downgrade(&self.0);
            let worker = thread::Builder::new().name("module-cache tiers".to_owned());
            if let Err(error) = worker.spawn(move || work(&shared)) {
                self.0.upgrades.not_started();
                log(
                    hash,
                    || debug!(%error, "cannot start a thread to upgrade modules"),
                );
            }
        }
    }
}

/// For two engines of one type, as those of the adapters are.
impl<E, C> TieredLoader<E, E, C>
where
    E: Compile<Module: Send + Sync> + Send + Sync + 'static,
    C: ModuleCache<E> + Send + Sync + 'static,
{
    /// Loads a module whose wasm the caller has, and calls `prepare` to make from it what requests use: now, and in a
    /// thread of this loader when the best module is ready.
    ///
    /// Blocks until a module of either tier is ready. A thread of this loader saves the fast module, so
    /// [`saved`](Loaded::saved) does not tell the outcome of that.
    ///
    /// # Errors
    ///
    /// When the module is not cached and neither engine can compile it, or it cannot be prepared.
    pub fn load<T, X>(
        &self,
        module: &Arc<HashedModule<'static>>,
        prepare: impl Fn(Tier, &E, E::Module) -> Result<T, X> + Send + Sync + 'static,
    ) -> LoadedTiers<T>
    where
        T: Send + Sync + 'static,
        X: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.load_either(AtHand(Arc::clone(module)), prepare)
    }

    /// Loads a module by its hash, and calls `fetch` for the wasm each time that it has to be compiled, for
    /// either tier.
    ///
    /// The rules for `fetch` are those of [`ModuleLoader::load_with`]; for the best module, it is called in a thread of
    /// this loader.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load), and when the wasm cannot be fetched.
    pub fn load_with<T, W, F, X>(
        &self,
        hash: ModuleHash,
        fetch: impl Fn() -> Result<W, F> + Send + Sync + 'static,
        prepare: impl Fn(Tier, &E, E::Module) -> Result<T, X> + Send + Sync + 'static,
    ) -> LoadedTiers<T>
    where
        T: Send + Sync + 'static,
        W: AsRef<[u8]> + 'static,
        F: Into<Box<dyn Error + Send + Sync>> + 'static,
        X: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        self.load_either(Fetched { hash, fetch }, prepare)
    }

    /// The newest module that is alive in this process, without I/O or waiting: for hosts that load at each
    /// request and keep no handle. `None` if a load has to do more.
    #[inline]
    pub fn resident(&self, hash: ModuleHash) -> Option<(Tier, E::Module)> {
        if !self.0.upgrades.stays(hash) {
            if let Some(best) = self.0.best.resident(hash) {
                return Some((Tier::Best, best.module));
            }
        }
        let fast = self.0.fast_on_its_way(hash)?;
        Some((Tier::Fast, fast.module))
    }

    /// One `prepare` is one for each tier.
    fn load_either<T, X, P>(&self, origin: impl Origin, prepare: P) -> LoadedTiers<T>
    where
        T: Send + Sync + 'static,
        X: Into<Box<dyn Error + Send + Sync>> + 'static,
        P: Fn(Tier, &E, E::Module) -> Result<T, X> + Send + Sync + 'static,
    {
        let prepare = Arc::new(prepare);
        let for_best = Arc::clone(&prepare);
        self.load_tiers(
            origin,
            |engine, module| prepare(Tier::Fast, engine, module),
            move |engine, module| for_best(Tier::Best, engine, module),
        )
    }
}

/// Gives up what nobody has begun, and waits until fast modules are saved. A background compilation goes on, and its module is
/// saved if the process lives long enough.
impl<Fast: Compile, Best: Compile, C> Drop for TieredLoader<Fast, Best, C> {
    fn drop(&mut self) {
        self.0.slots.close_behind();
        self.0.upgrades.close();
        self.0.finish_saves();
    }
}

impl<Fast, Best, C> fmt::Debug for TieredLoader<Fast, Best, C>
where
    Fast: Compile + fmt::Debug,
    Best: Compile + fmt::Debug,
    C: fmt::Debug,
{
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TieredLoader")
            .field("fast", &self.0.fast)
            .field("best", &self.0.best)
            .finish_non_exhaustive()
    }
}
