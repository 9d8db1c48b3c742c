//! What is served, and what is compiled for it.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Wake, Waker};
use std::thread;

use module_cache_core::{
    CacheError, Compile, Engine, EngineError, EntryKey, EntryStore, ModuleCache, ModuleHash,
    SaveOutcome, SealedEntry, SkipReason, StoreCache, Tiers,
};
use module_cache_fallback::FallbackExt;
use module_cache_loader::{ModuleLoader, Source, Tier};
use module_cache_memory::SharedCache;
use module_cache_testkit::{
    Fault, Method, Observed, ReferenceCache, ReferenceStore, TestEngine, TestModule,
};
use parking_lot::Mutex;

use crate::support::{Engines, app, load, module, settle, sleep_a_little};

#[test]
fn fast_is_served_until_best_is_compiled_behind_it() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let hold = engines.best.hold_compiles();
    let loaded = load(&loader, &module(1)).unwrap();
    assert_eq!(loaded.source, Source::Compiled);
    let handle = loaded.module;
    assert_eq!((handle.tier(), handle.get().tier), (Tier::Fast, Tier::Fast));
    hold.wait_for(1);
    assert_eq!(loader.stats().pending_upgrades, 1);
    drop(hold);
    handle.wait_upgraded().unwrap();
    let newest = handle.get();
    assert_eq!((handle.tier(), newest.tier), (Tier::Best, Tier::Best));
    assert_eq!(
        newest.module.code_id(),
        module_cache_core::Engine::id(&engines.best)
    );
    let stats = loader.stats();
    assert_eq!((stats.fast.compiled, stats.best.compiled), (1, 1));
    assert_eq!((stats.upgraded, stats.failed_upgrades), (1, 0));
}

#[test]
fn where_best_is_stored_nothing_is_compiled() {
    let (store, first) = (ReferenceStore::new(), Engines::new());
    let loader = first.loader(&store);
    load(&loader, &module(1))
        .unwrap()
        .module
        .wait_upgraded()
        .unwrap();
    let second = first.again();
    let loaded = load(&second.loader(&store), &module(1)).unwrap();
    assert_eq!(loaded.source, Source::Stored);
    assert_eq!(loaded.module.tier(), Tier::Best);
    assert_eq!((second.fast.compiles(), second.best.compiles()), (0, 0));
    assert_eq!(loaded.module.wait_upgraded().ok(), Some(()));
}

#[test]
fn where_only_fast_is_stored_it_is_served_and_best_is_compiled() {
    let (store, first) = (ReferenceStore::new(), Engines::new());
    let loader = first.loader(&store);
    loader.pause_upgrades();
    let on_fast = load(&loader, &module(1)).unwrap().module;
    assert_eq!(on_fast.tier(), Tier::Fast);
    drop(loader);
    let second = first.again();
    let loader = second.loader(&store);
    let loaded = load(&loader, &module(1)).unwrap();
    assert_eq!(loaded.source, Source::Stored);
    loaded.module.wait_upgraded().unwrap();
    assert_eq!((second.fast.compiles(), second.best.compiles()), (0, 1));
}

#[test]
fn threads_that_ask_at_once_share_one_compilation_of_each_tier() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let start = Barrier::new(8);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                start.wait();
                let handle = load(&loader, &module(1)).unwrap().module;
                handle.wait_upgraded().unwrap();
                assert_eq!(handle.get().tier, Tier::Best);
            });
        }
    });
    assert_eq!((engines.fast.compiles(), engines.best.compiles()), (1, 1));
}

#[test]
fn processes_that_share_a_store_compile_best_once() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let processes: Vec<_> = (0..6).map(|_| engines.again()).collect();
    let start = Barrier::new(processes.len());
    thread::scope(|scope| {
        for process in &processes {
            scope.spawn(|| {
                let loader = process.loader(&store);
                start.wait();
                for n in 0..4 {
                    load(&loader, &module(n))
                        .unwrap()
                        .module
                        .wait_upgraded()
                        .unwrap();
                }
            });
        }
    });
    let compiles: u64 = processes
        .iter()
        .map(|process| process.best.compiles())
        .sum();
    assert_eq!(compiles, 4);
}

#[test]
fn the_wasm_is_fetched_once_for_each_tier_and_not_for_what_is_stored() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let fetched = Arc::new(AtomicUsize::new(0));
    let fetch = || {
        let fetched = Arc::clone(&fetched);
        move || {
            fetched.fetch_add(1, Ordering::SeqCst);
            Ok::<_, EngineError>(module(1).wasm().to_vec())
        }
    };
    let hash = module(1).hash();
    let loader = engines.loader(&store);
    let handle = loader.load_with(hash, fetch(), app).unwrap().module;
    handle.wait_upgraded().unwrap();
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
    let again = engines.again().loader(&store).load_with(hash, fetch(), app);
    assert_eq!(again.unwrap().module.tier(), Tier::Best);
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
}

#[test]
fn fast_is_dropped_with_its_last_request_and_leaves_the_cache() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let cache = SharedCache::new().with_fallback(StoreCache(store));
    let loader = engines.loader_over(cache.clone());
    let hold = engines.best.hold_compiles();
    let handle = load(&loader, &module(1)).unwrap().module;
    let request = handle.get();
    drop(hold);
    handle.wait_upgraded().unwrap();
    assert_eq!((request.tier, handle.get().tier), (Tier::Fast, Tier::Best));
    let fast = Arc::downgrade(&request);
    drop(request);
    assert!(fast.upgrade().is_none());
    // Whoever saves fast may do so last, and removes it then.
    drop(loader);
    let is_stored = |engine| cache.contains(module(1).hash(), engine).unwrap();
    assert_eq!(
        (is_stored(&engines.fast), is_stored(&engines.best)),
        (false, true)
    );
}

#[test]
fn what_nobody_has_a_handle_of_any_more_is_compiled_and_saved() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let loader = engines.loader(&store);
    drop(load(&loader, &module(1)).unwrap());
    let cache = StoreCache(store);
    while !cache.contains(module(1).hash(), &engines.best).unwrap() {
        thread::yield_now();
    }
}

#[test]
fn the_newest_of_what_is_alive_is_had_without_a_handle() {
    let engines = Engines::new();
    let loader = engines.loader_over(ReferenceCache::new());
    let hash = module(1).hash();
    assert!(loader.resident(hash).is_none());
    let hold = engines.best.hold_compiles();
    let handle = load(&loader, &module(1)).unwrap().module;
    let (tier, found) = loader.resident(hash).unwrap();
    assert_eq!(tier, Tier::Fast);
    assert!(found.is_same_object(&handle.get().module));
    drop(hold);
    handle.wait_upgraded().unwrap();
    let (tier, found) = loader.resident(hash).unwrap();
    assert_eq!(tier, Tier::Best);
    assert!(found.is_same_object(&handle.get().module));
}

#[test]
fn each_tier_may_have_its_own_way_to_prepare() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let loaded = loader.load_each_with(
        module(1).hash(),
        || Ok::<_, EngineError>(module(1).wasm().to_vec()),
        |_, _| Ok::<_, EngineError>("fast"),
        |_, _| Ok("best"),
    );
    let handle = loaded.unwrap().module;
    handle.wait_upgraded().unwrap();
    assert_eq!(*handle.get(), "best");
}

#[test]
fn tasks_wait_for_the_upgrade_without_a_thread() {
    let engines = Engines::new();
    let loader = engines.loader(&ReferenceStore::new());
    let hold = engines.best.hold_compiles();
    let handle = load(&loader, &module(1)).unwrap().module;
    let waiting = thread::spawn({
        let handle = handle.clone();
        move || futures_executor::block_on(handle.upgraded())
    });
    hold.wait_for(1);
    drop(hold);
    waiting.join().unwrap().unwrap();
    assert_eq!(handle.tier(), Tier::Best);
}

#[test]
fn two_engines_of_one_id_are_no_pair() {
    let fast = Engines::new().fast;
    let error = Tiers::pair(fast.same_id(), fast).unwrap_err();
    assert!(
        error.to_string().contains("compile the same code"),
        "{error}"
    );
}

/// A cache whose saves of fast take until `held` is unlocked, and whose saves of best may fail.
#[derive(Debug, Default)]
struct SlowFast {
    cache: ReferenceCache<TestEngine>,
    held: Mutex<()>,
    saves: AtomicUsize,
    refuses_best: bool,
}

impl ModuleCache<TestEngine> for SlowFast {
    fn load(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
    ) -> Result<Option<TestModule>, CacheError> {
        self.cache.load(hash, engine)
    }

    fn contains(&self, hash: ModuleHash, engine: &TestEngine) -> Result<bool, CacheError> {
        self.cache.contains(hash, engine)
    }

    fn load_resident(&self, hash: ModuleHash, engine: &TestEngine) -> Option<TestModule> {
        self.cache.load_resident(hash, engine)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &TestEngine,
        module: &TestModule,
    ) -> Result<SaveOutcome, CacheError> {
        if engine.id().label().starts_with("fast") {
            self.saves.fetch_add(1, Ordering::SeqCst);
            drop(self.held.lock());
        } else if self.refuses_best {
            return Err(CacheError::backend("the cache", "save", "it is full"));
        }
        self.cache.save(hash, engine, module)
    }

    fn remove(&self, hash: ModuleHash, engine: &TestEngine) -> Result<bool, CacheError> {
        self.cache.remove(hash, engine)
    }
}

#[test]
fn a_fast_module_is_in_use_before_it_is_saved_and_saved_when_the_loader_is_gone() {
    let (cache, engines) = (Arc::new(SlowFast::default()), Engines::new());
    let loader = engines.loader_over(Arc::clone(&cache));
    loader.pause_upgrades();
    let held = cache.held.lock();
    let handle = load(&loader, &module(1)).unwrap().module;
    assert_eq!(handle.get().tier, Tier::Fast);
    let (_, resident) = loader.resident(module(1).hash()).unwrap();
    assert!(resident.is_same_object(&handle.get().module));
    let is_stored = || cache.contains(module(1).hash(), &engines.fast).unwrap();
    assert!(!is_stored());
    drop(held);
    drop(loader);
    assert!(is_stored());
}

#[test]
fn where_many_are_being_saved_a_fast_module_is_saved_first() {
    let (cache, engines) = (Arc::new(SlowFast::default()), Engines::new());
    let loader = engines.loader_over(Arc::clone(&cache));
    let held = cache.held.lock();
    thread::scope(|scope| {
        for n in 0..8 {
            load(&loader, &module(n)).unwrap();
        }
        let ninth = scope.spawn(|| load(&loader, &module(8)).unwrap());
        while cache.saves.load(Ordering::SeqCst) < 9 {
            thread::yield_now();
        }
        assert!(!ninth.is_finished());
        drop(held);
        assert!(ninth.join().unwrap().saved.unwrap().unwrap().is_stored());
    });
}

/// Whether fast and best are stored, where the save of fast ends after that of best.
fn stored_if_fast_is_saved_last(refuses_best: bool) -> (bool, bool) {
    let engines = Engines::new();
    let cache = Arc::new(SlowFast {
        refuses_best,
        ..SlowFast::default()
    });
    let loader = engines.loader_over(Arc::clone(&cache));
    let held = cache.held.lock();
    let handle = load(&loader, &module(1)).unwrap().module;
    handle.wait_upgraded().unwrap();
    drop(held);
    drop(loader);
    let is_stored = |engine| cache.contains(module(1).hash(), engine).unwrap();
    (is_stored(&engines.fast), is_stored(&engines.best))
}

#[test]
fn fast_that_is_saved_after_best_leaves_the_cache_too() {
    assert_eq!(stored_if_fast_is_saved_last(false), (false, true));
}

#[test]
fn fast_that_is_saved_after_best_could_not_be_stays() {
    assert_eq!(stored_if_fast_is_saved_last(true), (true, false));
}

#[test]
fn fast_stays_while_only_memory_has_best() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let below = Arc::new(Observed::new(StoreCache(store.clone())));
    let compiling = engines.best.hold_compiles();
    let loader = engines.loader_over(SharedCache::new().with_fallback(Arc::clone(&below)));
    let handle = load(&loader, &module(1)).unwrap().module;
    let cache = StoreCache(store);
    let has_fast = || cache.contains(module(1).hash(), &engines.fast).unwrap();
    while !has_fast() {
        thread::yield_now();
    }
    let saving = below.hold(Method::Save);
    drop(compiling);
    saving.wait_for(1);
    // Best is resident, and its save is under way.
    while loader.resident(module(1).hash()).unwrap().0 == Tier::Fast {
        thread::yield_now();
    }
    load(&loader, &module(1)).unwrap();
    sleep_a_little();
    assert!(has_fast());
    drop(saving);
    handle.wait_upgraded().unwrap();
    assert!(!has_fast());
}

/// A storage that does not take the code of best.
#[derive(Debug, Clone)]
struct WithoutBest(ReferenceStore);

impl EntryStore for WithoutBest {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.0.get(key)
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        if key.engine().label().starts_with("best") {
            return Ok(SaveOutcome::Skipped(SkipReason::TooLarge));
        }
        self.0.put(key, entry)
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.0.exists(key)
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.0.delete(key)
    }
}

/// Whether fast and best are stored after an upgrade, with memory in front of these storages.
fn stored_after_upgrade<C>(engines: &Engines, storages: C) -> (bool, bool)
where
    C: ModuleCache<TestEngine> + Clone + Send + Sync + 'static,
{
    let loader = engines.loader_over(SharedCache::new().with_fallback(storages.clone()));
    let handle = load(&loader, &module(1)).unwrap().module;
    handle.wait_upgraded().unwrap();
    assert_eq!(handle.tier(), Tier::Best);
    drop(loader);
    storages.flush().unwrap();
    let is_stored = |engine| storages.contains(module(1).hash(), engine).unwrap();
    (is_stored(&engines.fast), is_stored(&engines.best))
}

#[test]
fn fast_stays_where_no_storage_takes_best() {
    let engines = Engines::new();
    let storage = || StoreCache(WithoutBest(ReferenceStore::new()));
    assert_eq!(stored_after_upgrade(&engines, storage()), (true, false));
    let two = storage().with_fallback(storage());
    assert_eq!(stored_after_upgrade(&engines, two), (true, false));
}

#[test]
fn fast_stays_where_only_best_that_the_engine_refuses_is_stored() {
    let other = TestEngine::new("other");
    let engines = Engines {
        fast: TestEngine::new("fast"),
        best: TestEngine::accepting("best", &[&other]),
    };
    let store = StoreCache(WithoutBest(ReferenceStore::new()));
    let compiled = other.compile(module(1).wasm()).unwrap();
    assert!(
        store
            .save(module(1).hash(), &other, &compiled)
            .unwrap()
            .is_stored()
    );
    engines.best.reject_artifacts(true);
    let (fast, _) = stored_after_upgrade(&engines, store);
    assert!(fast);
}

/// A storage that keeps what it is given when it is flushed, and is given fast when `held` is unlocked.
#[derive(Debug, Clone, Default)]
struct Uploads {
    store: ReferenceStore,
    held: Arc<Mutex<()>>,
    queue: Arc<Mutex<Vec<SealedEntry<'static>>>>,
}

impl EntryStore for Uploads {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.store.get(key)
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        if key.engine().label().starts_with("fast") {
            drop(self.held.lock());
        }
        self.queue.lock().push(entry.to_static().unwrap());
        Ok(SaveOutcome::Stored { bytes: entry.len() })
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.store.exists(key)
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.queue.lock().retain(|entry| entry.key() != key);
        self.store.delete(key)
    }

    fn sync(&self) -> Result<(), CacheError> {
        for entry in self.queue.lock().drain(..) {
            let _ = self.store.put(entry.key(), &entry)?;
        }
        Ok(())
    }
}

#[test]
fn fast_leaves_where_best_is_on_its_way_to_the_storage() {
    let engines = Engines::new();
    let storage = StoreCache(Uploads::default());
    assert_eq!(stored_after_upgrade(&engines, storage), (false, true));
}

#[test]
fn fast_that_is_saved_last_leaves_where_best_is_on_its_way_to_the_storage() {
    let (engines, storage) = (Engines::new(), Uploads::default());
    let below = StoreCache(storage.clone());
    let loader = engines.loader_over(SharedCache::new().with_fallback(below.clone()));
    let held = storage.held.lock();
    let handle = load(&loader, &module(1)).unwrap().module;
    handle.wait_upgraded().unwrap();
    drop(held);
    drop(loader);
    storage.sync().unwrap();
    let is_stored = |engine| below.contains(module(1).hash(), engine).unwrap();
    assert_eq!(
        (is_stored(&engines.fast), is_stored(&engines.best)),
        (false, true)
    );
}

/// A storage that shows what was there when a look began, which may take long.
#[derive(Debug, Clone)]
struct SlowLook {
    store: ReferenceStore,
    slow: Arc<AtomicBool>,
    begun: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

impl EntryStore for SlowLook {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let found = self.store.get(key);
        if self.slow.swap(false, Ordering::SeqCst) {
            self.begun.store(true, Ordering::SeqCst);
            while !self.over.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
        found
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        self.store.put(key, entry)
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.store.exists(key)
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.store.delete(key)
    }
}

/// One who waited for a slot finds best stored, while another's look, which began before that, still finds nothing.
#[test]
fn where_best_was_stored_meanwhile_nobody_trusts_an_older_look() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let cache = SlowLook {
        store: store.clone(),
        slow: Arc::default(),
        begun: Arc::default(),
        over: Arc::default(),
    };
    let loader = engines
        .loader_over(StoreCache(cache.clone()))
        .with_max_compiles(NonZeroUsize::MIN);
    let hold = engines.fast.hold_compiles();
    thread::scope(|scope| {
        scope.spawn(|| load(&loader, &module(2)).unwrap());
        hold.wait_for(1);
        let waits_for_the_slot = scope.spawn(|| load(&loader, &module(1)).unwrap());
        sleep_a_little();
        cache.slow.store(true, Ordering::SeqCst);
        let looks = scope.spawn(|| load(&loader, &module(1)).unwrap());
        while !cache.begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        ModuleLoader::new(engines.again().best, StoreCache(store))
            .load(&module(1))
            .unwrap();
        drop(hold);
        sleep_a_little();
        cache.over.store(true, Ordering::SeqCst);
        for loads in [waits_for_the_slot, looks] {
            assert_eq!(loads.join().unwrap().module.tier(), Tier::Best);
        }
    });
    assert_eq!(engines.fast.compiles(), 1);
}

/// Whether fast is still `below` after an upgrade to best, which was stored while upgrades were paused.
fn has_fast_after<C>(
    engines: &Engines,
    cache: C,
    below: &impl ModuleCache<TestEngine>,
    store_best: impl FnOnce(),
) -> bool
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let loader = engines.loader_over(cache);
    loader.pause_upgrades();
    let handle = load(&loader, &module(1)).unwrap().module;
    let has_fast = || below.contains(module(1).hash(), &engines.fast).unwrap();
    while !has_fast() {
        thread::yield_now();
    }
    store_best();
    loader.resume_upgrades();
    handle.wait_upgraded().unwrap();
    has_fast()
}

#[test]
fn fast_leaves_the_cache_if_another_loader_compiled_best() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let below = StoreCache(store);
    let cache = SharedCache::new().with_fallback(below.clone());
    let alone = ModuleLoader::new(engines.best.clone(), cache.clone());
    let mut resident = None;
    let compile = || resident = Some(alone.load(&module(1)).unwrap());
    assert!(!has_fast_after(&engines, cache, &below, compile));
    drop(resident);
}

#[test]
fn fast_leaves_the_cache_if_best_is_loaded_from_an_accepted_id() {
    let level = TestEngine::new("best of a level");
    let engines = Engines {
        best: TestEngine::accepting("best", &[&level]),
        ..Engines::new()
    };
    let cache = StoreCache(ReferenceStore::new());
    let compile = || {
        let alone = ModuleLoader::new(level, &cache);
        alone.load(&module(1)).unwrap();
    };
    assert!(!has_fast_after(&engines, cache.clone(), &cache, compile));
    assert_eq!(engines.best.compiles(), 0);
}

#[test]
fn fast_leaves_where_one_storage_has_best_and_another_fails() {
    let engines = Engines::new();
    let failing = Arc::new(Observed::new(ReferenceStore::new()));
    let below = StoreCache(ReferenceStore::new());
    let cache = StoreCache(Arc::clone(&failing)).with_fallback(below.clone());
    let compile = || {
        let alone = ModuleLoader::new(engines.best.same_id(), &below);
        alone.load(&module(1)).unwrap();
        failing.inject(Method::Contains, Fault::Error);
    };
    assert!(!has_fast_after(&engines, cache, &below, compile));
    assert_eq!(engines.best.compiles(), 0);
}

#[test]
#[cfg(unix)]
fn where_no_thread_starts_a_fast_module_is_saved_first() {
    let name = "served::where_no_thread_starts_a_fast_module_is_saved_first";
    if !crate::without_threads::is_without_threads(name) {
        return;
    }
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let loader = engines.loader(&store);
    let loaded = load(&loader, &module(1)).unwrap();
    assert!(loaded.saved.unwrap().unwrap().is_stored());
}

#[test]
fn where_best_is_stored_nobody_looks_for_fast() {
    let (store, engines) = (ReferenceStore::new(), Engines::new());
    let loader = engines.loader(&store);
    loader.pause_upgrades();
    load(&loader, &module(1)).unwrap();
    drop(loader);
    let cache = StoreCache(store);
    let loader = ModuleLoader::new(engines.again().best, &cache);
    loader.load(&module(1)).unwrap();
    let cache = Arc::new(Observed::new(cache.clone()));
    let loader = engines.again().loader_over(Arc::clone(&cache));
    for _ in 0..3 {
        let handle = load(&loader, &module(1)).unwrap().module;
        assert_eq!(handle.tier(), Tier::Best);
    }
    drop(loader);
    assert_eq!(cache.calls(Method::Remove), 0);
    assert!(cache.contains(module(1).hash(), &engines.fast).unwrap());
}

#[test]
fn fast_is_not_compiled_if_best_was_stored_while_it_was_looked_for() {
    let (store, first) = (ReferenceStore::new(), Engines::new());
    let second = first.again();
    let cache = Arc::new(Observed::new(StoreCache(store.clone())));
    let late = second.loader_over(Arc::clone(&cache));
    let hold = cache.hold(Method::CompilePermit);
    thread::scope(|scope| {
        let load_late = scope.spawn(|| load(&late, &module(1)).unwrap());
        hold.wait_for(1);
        let loader = first.loader(&store);
        let handle = load(&loader, &module(1)).unwrap().module;
        handle.wait_upgraded().unwrap();
        drop(loader);
        drop(hold);
        assert_eq!(load_late.join().unwrap().module.tier(), Tier::Best);
    });
    assert_eq!((second.fast.compiles(), second.best.compiles()), (0, 0));
    assert_eq!(late.stats().fast.failed, 0);
}

struct Ignores;

impl Wake for Ignores {
    fn wake(self: Arc<Self>) {}
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

#[test]
fn a_future_that_is_dropped_leaves_no_waker_behind_and_one_that_panics_keeps_no_other() {
    let loader = Engines::new().loader(&ReferenceStore::new());
    loader.pause_upgrades();
    let handle = load(&loader, &module(1)).unwrap().module;
    let task = Arc::new(Ignores);
    {
        let waker = Waker::from(Arc::clone(&task));
        let mut future = pin!(handle.upgraded());
        let pending = future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(pending.is_pending());
    }
    assert_eq!(Arc::strong_count(&task), 1);
    let waker = Waker::from(Arc::new(Panics));
    let mut future = pin!(handle.upgraded());
    assert!(
        future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    let others = [(); 4].map(|()| {
        let handle = handle.clone();
        thread::spawn(move || futures_executor::block_on(handle.upgraded()))
    });
    loader.resume_upgrades();
    for other in others {
        other.join().unwrap().unwrap();
    }
    settle(&loader);
    assert_eq!(loader.stats().failed_upgrades, 0);
}
