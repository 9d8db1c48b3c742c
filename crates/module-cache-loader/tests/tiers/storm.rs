//! Requests by the thousand while tiers swap, modules are evicted, and engines come and go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use module_cache_core::{Engine, ModuleCache, StoreCache};
use module_cache_fallback::FallbackExt;
use module_cache_loader::Tier;
use module_cache_memory::SharedCache;
use module_cache_testkit::ReferenceStore;
use parking_lot::RwLock;

use crate::support::{App, Engines, app, load, module};

const REQUESTS: u64 = 10_000;
const THREADS: u64 = 8;
const MODULES: u64 = 12;

/// A host whose engines are replaced while requests run.
struct Host {
    engines: Engines,
    loader: crate::support::Loader<Cache>,
}

type Cache = module_cache_fallback::FallbackCache<
    SharedCache<module_cache_testkit::TestEngine>,
    StoreCache<ReferenceStore>,
>;

impl Host {
    /// With memory for a quarter of the modules.
    fn new(
        engines: Engines,
        memory: &SharedCache<module_cache_testkit::TestEngine>,
        store: &ReferenceStore,
    ) -> Self {
        let cache = memory.clone().with_fallback(StoreCache(store.clone()));
        let loader = engines.loader_over(cache);
        Self { engines, loader }
    }

    fn check(&self, n: u64, app: &App) {
        let engine = match app.tier {
            Tier::Fast => &self.engines.fast,
            Tier::Best => &self.engines.best,
        };
        let instance = engine.instance().id();
        assert_eq!((app.engine, app.module.instance()), (instance, instance));
        assert_eq!(app.module.code_id(), engine.id());
        assert_eq!(app.module.wasm(), module(n).wasm());
    }
}

#[test]
fn nothing_is_served_by_a_wrong_engine_while_tiers_swap() {
    let store = ReferenceStore::new();
    let memory = SharedCache::with_max_weight(MODULES * 1000 / 4);
    let host = RwLock::new(Host::new(Engines::new(), &memory, &store));
    let (next, of_fast) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let request = next.fetch_add(1, Ordering::Relaxed);
                    if request >= REQUESTS {
                        return;
                    }
                    // Numbers without a pattern.
                    let random = request.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
                    let n = random % MODULES;
                    let hash = module(n).hash();
                    match random >> 32 & 0x3ff {
                        // All engines go, with what they compile.
                        0..4 => {
                            let mut host = host.write();
                            let engines = host.engines.again();
                            *host = Host::new(engines, &memory, &store);
                        }
                        4..150 => {
                            let host = host.read();
                            let (fast, best) = (&host.engines.fast, &host.engines.best);
                            host.loader.cache().remove(hash, best).unwrap();
                            host.loader.cache().remove(hash, fast).unwrap();
                        }
                        150..300 => {
                            let host = host.read();
                            if let Some((tier, module)) = host.loader.resident(hash) {
                                let engine = match tier {
                                    Tier::Fast => &host.engines.fast,
                                    Tier::Best => &host.engines.best,
                                };
                                host.check(n, &app(tier, engine, module).unwrap());
                            }
                        }
                        _ => {}
                    }
                    let host = host.read();
                    let handle = load(&host.loader, &module(n)).unwrap().module;
                    let app = handle.get();
                    of_fast.fetch_add(u64::from(app.tier == Tier::Fast), Ordering::Relaxed);
                    host.check(n, &app);
                    if random % 8 == 0 {
                        handle.wait_upgraded().unwrap();
                        assert_eq!(handle.tier(), Tier::Best);
                    }
                    host.check(n, &handle.get());
                    host.check(n, &app);
                }
            });
        }
    });
    let of_fast = of_fast.into_inner();
    assert!((1..REQUESTS).contains(&of_fast), "{of_fast}");
}
