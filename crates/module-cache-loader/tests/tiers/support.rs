//! A loader of two test engines, and what it prepares of their modules.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use module_cache_core::instance::InstanceId;
use module_cache_core::{Engine, HashedModule, StoreCache, Tiers};
use module_cache_loader::{LoadError, Loaded, Tier, Tiered, TieredLoader};
use module_cache_testkit::{ReferenceStore, TestEngine, TestModule, wasm};

pub(crate) type Store = StoreCache<ReferenceStore>;
pub(crate) type Loader<C = Store> = TieredLoader<TestEngine, TestEngine, C>;

/// What a request uses.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) tier: Tier,
    pub(crate) engine: InstanceId,
    pub(crate) module: TestModule,
}

pub(crate) struct Engines {
    pub(crate) fast: TestEngine,
    pub(crate) best: TestEngine,
}

impl Engines {
    pub(crate) fn new() -> Self {
        Self {
            fast: TestEngine::new("fast"),
            best: TestEngine::new("best"),
        }
    }

    /// Those of another process.
    pub(crate) fn again(&self) -> Self {
        Self {
            fast: self.fast.same_id(),
            best: self.best.same_id(),
        }
    }

    pub(crate) fn loader(&self, store: &ReferenceStore) -> Loader {
        self.loader_over(StoreCache(store.clone()))
    }

    pub(crate) fn loader_over<C>(&self, cache: C) -> Loader<C>
    where
        C: module_cache_core::ModuleCache<TestEngine> + Send + Sync + 'static,
    {
        let tiers = Tiers::pair(self.fast.clone(), self.best.clone()).unwrap();
        TieredLoader::new(tiers, cache)
    }
}

pub(crate) fn module(n: u64) -> Arc<HashedModule<'static>> {
    Arc::new(HashedModule::new(wasm(n, 1000)))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "loads take a function that may fail"
)]
pub(crate) fn app(tier: Tier, engine: &TestEngine, module: TestModule) -> Result<App, Infallible> {
    Ok(App {
        tier,
        engine: engine.instance().id(),
        module,
    })
}

pub(crate) fn load<C>(
    loader: &Loader<C>,
    module: &Arc<HashedModule<'static>>,
) -> Result<Loaded<Tiered<App>>, LoadError>
where
    C: module_cache_core::ModuleCache<TestEngine> + Send + Sync + 'static,
{
    loader.load(module, app)
}

pub(crate) fn sleep_a_little() {
    thread::sleep(Duration::from_millis(100));
}

/// Waits until nothing is on its way.
pub(crate) fn settle<C>(loader: &Loader<C>)
where
    C: module_cache_core::ModuleCache<TestEngine> + Send + Sync + 'static,
{
    while loader.stats().pending_upgrades > 0 {
        thread::yield_now();
    }
}
