//! A panic in code of others, wherever a load calls any, costs that load and nothing else.

#[cfg(unix)]
#[path = "support/without_threads.rs"]
mod without_threads;

use std::borrow::Cow;
use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use module_cache_core::instance::EngineInstance;
use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    Artifact, ArtifactEngine, CacheError, Compile, Engine, EngineError, EngineId, HashedModule,
    ModuleCache, ModuleHash, SaveOutcome, StoreCache, Tiers,
};
use module_cache_fallback::{FallbackCache, FallbackExt};
#[cfg(unix)]
use module_cache_loader::Tier;
use module_cache_loader::{LoadError, Loaded, ModuleLoader, Source, TieredLoader};
use module_cache_memory::SharedCache;
use module_cache_testkit::{ReferenceStore, TestEngine, wasm};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Panics once, at the call of others' code with this number. Negative: never.
#[derive(Debug, Clone)]
struct Fuse(Arc<AtomicI64>);

impl Fuse {
    fn at(call: i64) -> Self {
        Self(Arc::new(AtomicI64::new(call)))
    }

    fn call(&self, what: &str) {
        // A second panic while the first unwinds would end the process, whoever made the code.
        if thread::panicking() {
            return;
        }
        assert!(self.0.fetch_sub(1, Ordering::SeqCst) != 0, "in {what}");
    }
}

/// A module whose `Clone` and `Drop` are calls, too.
#[derive(Debug)]
struct Fragile(Fuse, Vec<u8>);

impl Clone for Fragile {
    fn clone(&self) -> Self {
        self.0.call("Clone");
        Self(self.0.clone(), self.1.clone())
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        self.0.call("Drop");
    }
}

struct FragileEngine {
    id: EngineId,
    instance: EngineInstance,
    fuse: Fuse,
}

impl Engine for FragileEngine {
    type Module = Fragile;

    fn id(&self) -> &EngineId {
        &self.id
    }

    fn instance(&self) -> &EngineInstance {
        &self.instance
    }

    fn weight(&self, module: &Fragile) -> Option<u64> {
        self.fuse.call("weight");
        Some(module.1.len() as u64)
    }
}

impl Compile for FragileEngine {
    fn compile(&self, wasm: &[u8]) -> Result<Fragile, EngineError> {
        self.fuse.call("compile");
        Ok(Fragile(self.fuse.clone(), wasm.into()))
    }
}

// SAFETY: artifacts are data, and nothing executes them.
unsafe impl ArtifactEngine for FragileEngine {
    fn serialize<'m>(&self, module: &'m Fragile) -> Result<Cow<'m, [u8]>, EngineError> {
        self.fuse.call("serialize");
        Ok(Cow::Borrowed(&module.1))
    }

    unsafe fn deserialize(&self, artifact: Artifact) -> Result<Fragile, EngineError> {
        self.fuse.call("deserialize");
        Ok(Fragile(self.fuse.clone(), artifact.into_bytes().unwrap()))
    }
}

/// A cache each of whose methods is a call, as is the end of its permits.
#[derive(Debug)]
struct FragileCache<C>(Fuse, C);

impl<C: ModuleCache<FragileEngine>> ModuleCache<FragileEngine> for FragileCache<C> {
    fn load(
        &self,
        hash: ModuleHash,
        engine: &FragileEngine,
    ) -> Result<Option<Fragile>, CacheError> {
        self.0.call("load");
        self.1.load(hash, engine)
    }

    fn contains(&self, hash: ModuleHash, engine: &FragileEngine) -> Result<bool, CacheError> {
        self.1.contains(hash, engine)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &FragileEngine,
        module: &Fragile,
    ) -> Result<SaveOutcome, CacheError> {
        self.0.call("save");
        self.1.save(hash, engine, module)
    }

    fn remove(&self, hash: ModuleHash, engine: &FragileEngine) -> Result<bool, CacheError> {
        self.1.remove(hash, engine)
    }

    fn load_resident(&self, hash: ModuleHash, engine: &FragileEngine) -> Option<Fragile> {
        self.0.call("load_resident");
        self.1.load_resident(hash, engine)
    }

    fn compile_permit(
        &self,
        hash: ModuleHash,
        engine: &FragileEngine,
    ) -> Result<CompilePermit, CacheError> {
        self.0.call("compile_permit");
        let permit = self.1.compile_permit(hash, engine)?;
        Ok(permit.and(CompilePermit::exclusive(FragileGuard(self.0.clone()))))
    }
}

struct FragileGuard(Fuse);

impl Drop for FragileGuard {
    fn drop(&mut self) {
        self.0.call("the end of a permit");
    }
}

/// A subscriber each of whose methods is a call.
struct FragileSubscriber(Fuse, AtomicU64);

impl Subscriber for FragileSubscriber {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.0.call("new_span");
        Id::from_u64(self.1.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        self.0.call("record");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        self.0.call("event");
    }

    fn enter(&self, _: &Id) {
        self.0.call("enter");
    }

    fn exit(&self, _: &Id) {
        self.0.call("exit");
    }

    fn try_close(&self, _: Id) -> bool {
        self.0.call("try_close");
        true
    }
}

type Layers = FallbackCache<SharedCache<FragileEngine>, StoreCache<ReferenceStore>>;
type Loader = ModuleLoader<FragileEngine, FragileCache<Layers>>;

/// One slot, so that one that is lost is missed.
fn loader(fuse: &Fuse, store: &ReferenceStore) -> Loader {
    let engine = FragileEngine {
        id: EngineId::builder("fragile").build(),
        instance: EngineInstance::new(),
        fuse: fuse.clone(),
    };
    // Room for one module: the second evicts it.
    let memory = SharedCache::with_max_weight(1500);
    let layers = memory.with_fallback(StoreCache(store.clone()));
    ModuleLoader::new(engine, FragileCache(fuse.clone(), layers))
        .with_max_compiles(NonZeroUsize::MIN)
}

fn module(n: u64) -> HashedModule<'static> {
    HashedModule::new(wasm(n, 1000))
}

/// Everything that a load may be: cold, resident, fetched, stored, evicting; then an error. Only what was compiled was
/// saved.
fn all_kinds_of_loads(loader: &Loader, fuse: &Fuse) {
    let load = |n| loader.load(&module(n));
    let one_panic_each: [&dyn Fn() -> Result<Loaded<Fragile>, LoadError>; 6] = [
        &|| load(1),
        &|| load(1),
        &|| {
            loader.load_with(module(2).hash(), || {
                fuse.call("fetch");
                Ok::<_, io::Error>(FragileWasm(fuse.clone(), wasm(2, 1000)))
            })
        },
        &|| load(1),
        &|| loader.load_with(module(3).hash(), || Err::<Vec<u8>, _>("no route")),
        &|| load(2),
    ];
    for load in one_panic_each {
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            let loaded = load().ok()?;
            Some((loaded.source, loaded.saved.is_some()))
        }));
        if let Ok(Some((source, saved))) = loaded {
            assert!(!saved || source == Source::Compiled, "{source}");
        }
    }
}

/// Every module can be loaded by this loader, and by another that shares the storage.
fn everything_works(loader: impl Deref<Target = Loader> + Send + 'static, store: ReferenceStore) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let other = self::loader(&Fuse::at(-1), &store);
        for n in 1..=4 {
            loader.load(&module(n)).unwrap();
            assert!(loader.load(&module(n)).is_ok());
            other.load(&module(n)).unwrap();
        }
        done.send(()).unwrap();
    });
    let outcome = is_done.recv_timeout(Duration::from_secs(20));
    outcome.expect("something is held for ever, or a load failed");
}

/// Tries each call, one after the other, until there is none left that panics.
fn for_each_call(at_least: i64, mut attempt: impl FnMut(&Fuse)) {
    std::panic::set_hook(Box::new(|_| {}));
    for call in 0.. {
        let fuse = Fuse::at(call);
        attempt(&fuse);
        if fuse.0.swap(-1, Ordering::SeqCst) >= 0 {
            // So this was not a test of nothing.
            assert!(call >= at_least, "{call}");
            break;
        }
    }
}

/// Wasm that a caller brings.
struct FragileWasm(Fuse, Vec<u8>);

impl AsRef<[u8]> for FragileWasm {
    fn as_ref(&self) -> &[u8] {
        self.0.call("as_ref");
        &self.1
    }
}

impl Drop for FragileWasm {
    fn drop(&mut self) {
        self.0.call("the end of the wasm");
    }
}

/// What a panic brings may itself panic when it is dropped.
#[test]
fn a_panic_that_panics_when_it_is_dropped_costs_one_load() {
    struct Payload;
    impl Drop for Payload {
        fn drop(&mut self) {
            panic!("in the payload");
        }
    }
    std::panic::set_hook(Box::new(|_| {}));
    let store = ReferenceStore::new();
    let loader = Box::new(loader(&Fuse::at(-1), &store));
    let fetch = || -> Result<Vec<u8>, io::Error> { std::panic::panic_any(Payload) };
    let error = loader.load_with(module(1).hash(), fetch).unwrap_err();
    assert!(matches!(error, LoadError::Panicked { .. }), "{error:?}");
    assert_eq!(loader.stats().failed, 1);
    everything_works(loader, store);
}

#[test]
fn a_panic_of_others_wherever_it_is_costs_one_load() {
    for_each_call(100, |fuse| {
        let store = ReferenceStore::new();
        let loader = Box::new(loader(fuse, &store));
        let subscriber = FragileSubscriber(fuse.clone(), AtomicU64::new(0));
        tracing::subscriber::with_default(subscriber, || all_kinds_of_loads(&loader, fuse));
        let left = fuse.0.swap(-1, Ordering::SeqCst);
        everything_works(loader, store);
        fuse.0.store(left, Ordering::SeqCst);
    });
}

#[test]
fn a_panic_of_a_subscriber_reaches_nobody_who_joins_or_whose_wasm_is_known_to_be_invalid() {
    for_each_call(2, |fuse| {
        let engine = TestEngine::new("engine");
        let loader = ModuleLoader::new(engine.clone(), StoreCache(ReferenceStore::new()));
        let (module, invalid) = (module(1), HashedModule::new(b"no wasm".to_vec()));
        loader.load(&invalid).unwrap_err();
        let hold = engine.hold_compiles();
        thread::scope(|scope| {
            scope.spawn(|| loader.load(&module).unwrap());
            hold.wait_for(1);
            let joins = scope.spawn(|| {
                let subscriber = FragileSubscriber(fuse.clone(), AtomicU64::new(0));
                tracing::subscriber::with_default(subscriber, || {
                    let load = |module| catch_unwind(AssertUnwindSafe(|| loader.load(module)));
                    (load(&invalid), load(&module))
                })
            });
            while loader.stats().coalesced == 0 && !joins.is_finished() {
                thread::yield_now();
            }
            drop(hold);
            let (refused, joined) = joins.join().unwrap();
            assert!(refused.unwrap().is_err() && joined.unwrap().is_ok());
            assert_eq!(loader.stats().known_invalid, 1);
        });
    });
}

#[test]
fn a_panic_of_a_subscriber_where_fast_refuses_reaches_no_caller() {
    for_each_call(10, |fuse| {
        let (fast, best) = (TestEngine::new("fast"), TestEngine::new("best"));
        fast.fail_to_compile(true);
        let cache = StoreCache(ReferenceStore::new());
        let loader = TieredLoader::new(Tiers::pair(fast, best).unwrap(), cache);
        let plugin = Arc::new(module(1));
        let load = || loader.load(&plugin, |_, _: &TestEngine, _| Ok::<_, EngineError>(()));
        let subscriber = FragileSubscriber(fuse.clone(), AtomicU64::new(0));
        let first = || catch_unwind(AssertUnwindSafe(load)).is_ok();
        assert!(tracing::subscriber::with_default(subscriber, first));
        let left = fuse.0.swap(-1, Ordering::SeqCst);
        load().unwrap();
        fuse.0.store(left, Ordering::SeqCst);
    });
}

#[test]
#[cfg(unix)]
fn a_panic_of_a_subscriber_where_no_thread_starts_reaches_no_caller() {
    let name = "a_panic_of_a_subscriber_where_no_thread_starts_reaches_no_caller";
    if !without_threads::is_without_threads(name) {
        return;
    }
    for_each_call(10, |fuse| {
        let (fast, best) = (TestEngine::new("fast"), TestEngine::new("best"));
        let cache = StoreCache(ReferenceStore::new());
        let loader = TieredLoader::new(Tiers::pair(fast, best).unwrap(), cache);
        let plugin = Arc::new(module(1));
        let load = || loader.load(&plugin, |_, _: &TestEngine, _| Ok::<_, EngineError>(()));
        let subscriber = FragileSubscriber(fuse.clone(), AtomicU64::new(0));
        let first = || catch_unwind(AssertUnwindSafe(load));
        let loaded = tracing::subscriber::with_default(subscriber, first).unwrap();
        // One that panics while fast is compiled leaves best.
        if let Some(loaded) = loaded
            .ok()
            .filter(|loaded| loaded.module.tier() == Tier::Fast)
        {
            let upgraded = loaded.module.wait_upgraded();
            assert!(matches!(upgraded, Err(LoadError::Abandoned(_))));
        }
    });
}

/// Without a subscriber: one that is set for a thread does not see the threads of a runtime.
#[cfg(feature = "tokio")]
#[test]
fn a_panic_of_others_wherever_it_is_costs_one_load_of_tasks() {
    use module_cache_loader::AsyncModuleLoader;

    for_each_call(20, |fuse| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.max_blocking_threads(1).build().unwrap();
        let store = ReferenceStore::new();
        let loader = AsyncModuleLoader::new(loader(fuse, &store), runtime.handle().clone());
        for n in [1, 1, 2, 1] {
            let fetch = {
                let fuse = fuse.clone();
                move || async move {
                    fuse.call("fetch");
                    Ok::<_, io::Error>(FragileWasm(fuse, wasm(n, 1000)))
                }
            };
            let load = loader.load_with(module(n).hash(), fetch);
            let _ = catch_unwind(AssertUnwindSafe(|| runtime.block_on(load).map(drop)));
        }
        // What is behind the answers has ended with the runtime.
        drop(runtime);
        let left = fuse.0.swap(-1, Ordering::SeqCst);
        everything_works(Arc::clone(loader.loader()), store);
        fuse.0.store(left, Ordering::SeqCst);
    });
}
