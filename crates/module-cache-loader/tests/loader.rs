//! Who compiles, who waits, and what they get.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use module_cache_core::{Compile, Engine, HashedModule, ModuleCache, ModuleHash, StoreCache};
use module_cache_loader::{LoadError, ModuleLoader, Source};
use module_cache_testkit::{
    FailingCache, Fault, Method, Observed, ReferenceCache, ReferenceStore, TestEngine, wasm,
};

type Memory = Observed<ReferenceCache<TestEngine>>;

fn loader() -> ModuleLoader<TestEngine, Memory> {
    ModuleLoader::new(
        TestEngine::new("loader"),
        Observed::new(ReferenceCache::new()),
    )
}

fn module() -> HashedModule<'static> {
    HashedModule::new(wasm(1, 1000))
}

fn sleep_a_little() {
    thread::sleep(Duration::from_millis(100));
}

#[test]
fn a_module_is_compiled_once_and_resident_from_then_on() {
    let loader = loader();
    assert_eq!(loader.load(&module()).unwrap().source, Source::Compiled);
    let again = loader.load(&module()).unwrap();
    assert_eq!(again.source, Source::Resident);
    assert_eq!(again.module.wasm(), module().wasm());
    assert_eq!(loader.engine().compiles(), 1);
    let stats = loader.stats();
    assert_eq!((stats.compiled, stats.resident, stats.failed), (1, 1, 0));
}

#[test]
fn what_another_process_stored_is_not_compiled() {
    let store = ReferenceStore::new();
    let open = || ModuleLoader::new(TestEngine::new("loader"), StoreCache(store.clone()));
    assert_eq!(open().load(&module()).unwrap().source, Source::Compiled);
    let second = open();
    assert_eq!(second.load(&module()).unwrap().source, Source::Stored);
    assert_eq!(second.engine().compiles(), 0);
}

#[test]
fn the_wasm_is_fetched_only_to_be_compiled() {
    let loader = loader();
    let fetched = AtomicUsize::new(0);
    let load = || {
        loader.load_with(module().hash(), || {
            fetched.fetch_add(1, Ordering::SeqCst);
            Ok::<_, io::Error>(wasm(1, 1000))
        })
    };
    for _ in 0..3 {
        load().unwrap();
    }
    assert_eq!(fetched.into_inner(), 1);
}

#[test]
fn a_failed_fetch_is_an_error_with_its_cause_and_is_tried_again() {
    let loader = loader();
    let hash = module().hash();
    let error = loader
        .load_with(hash, || Err::<Vec<u8>, _>("no route"))
        .unwrap_err();
    assert!(matches!(&error, LoadError::Fetch { source, .. } if source.to_string() == "no route"));
    assert!(error.to_string().contains(&hash.to_string()));
    assert!(loader.load(&module()).is_ok());
}

#[test]
fn threads_that_ask_at_once_share_one_compilation() {
    let loader = loader();
    let held = loader.engine().hold_compiles();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| loader.load(&module())))
            .collect();
        held.wait_for(1);
        sleep_a_little();
        drop(held);
        for thread in threads {
            assert_eq!(
                thread.join().unwrap().unwrap().module.wasm(),
                module().wasm()
            );
        }
    });
    assert_eq!(loader.engine().compiles(), 1);
}

#[test]
fn loaders_that_share_a_storage_compile_once() {
    let store = ReferenceStore::new();
    let loaders: Vec<_> = (0..4)
        .map(|_| ModuleLoader::new(TestEngine::new("loader"), StoreCache(store.clone())))
        .collect();
    for loader in &loaders {
        loader.engine().set_compile_time(Duration::from_millis(50));
    }
    thread::scope(|scope| {
        for loader in loaders.iter().chain(&loaders) {
            scope.spawn(|| loader.load(&module()).unwrap());
        }
    });
    let compiles: u64 = loaders
        .iter()
        .map(|loader| loader.engine().compiles())
        .sum();
    assert_eq!(compiles, 1);
}

#[test]
fn waiters_and_newcomers_have_the_module_before_it_is_saved() {
    let loader = loader();
    let compiling = loader.engine().hold_compiles();
    let saving = loader.cache().hold(Method::Save);
    thread::scope(|scope| {
        let leading = scope.spawn(|| loader.load(&module()));
        compiling.wait_for(1);
        let waiter = scope.spawn(|| loader.load(&module()));
        sleep_a_little();
        drop(compiling);
        saving.wait_for(1);
        assert!(waiter.join().unwrap().is_ok());
        assert!(loader.load(&module()).is_ok());
        assert!(
            !leading.is_finished(),
            "the leader stays until the module is saved"
        );
        drop(saving);
        assert!(leading.join().unwrap().is_ok());
    });
    assert_eq!(loader.engine().compiles(), 1);
}

#[test]
fn a_compile_error_reaches_every_waiter_and_is_not_kept() {
    let loader = loader();
    loader.engine().fail_to_compile(true);
    let held = loader.engine().hold_compiles();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| loader.load(&module())))
            .collect();
        held.wait_for(1);
        sleep_a_little();
        drop(held);
        for thread in threads {
            let error = thread.join().unwrap().unwrap_err();
            assert!(matches!(error, LoadError::Compile(_)), "{error:?}");
        }
    });
    assert_eq!(loader.stats().failed, 8);
    loader.engine().fail_to_compile(false);
    assert_eq!(loader.load(&module()).unwrap().source, Source::Compiled);
}

#[test]
fn a_panic_in_the_compiler_reaches_every_waiter_and_frees_the_key() {
    let loader = loader();
    loader.engine().panic_in_compile(true);
    let held = loader.engine().hold_compiles();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| loader.load(&module())))
            .collect();
        held.wait_for(1);
        sleep_a_little();
        drop(held);
        for thread in threads {
            let error = thread.join().unwrap().unwrap_err();
            assert!(matches!(error, LoadError::Panicked { .. }), "{error:?}");
        }
    });
    loader.engine().panic_in_compile(false);
    assert!(loader.load(&module()).is_ok());
}

#[test]
fn a_leader_that_asks_for_its_own_module_is_told_so() {
    let loader = loader();
    let mut inner = None;
    let outer = loader.load_with(module().hash(), || {
        inner = Some(loader.load(&module()));
        Ok::<_, io::Error>(wasm(1, 1000))
    });
    assert!(matches!(inner, Some(Err(LoadError::Recursive(hash))) if hash == module().hash()));
    assert!(outer.is_ok());
}

#[test]
fn a_broken_cache_costs_a_compilation_and_not_the_load() {
    let loader = ModuleLoader::new(TestEngine::new("loader"), FailingCache::new());
    for _ in 0..2 {
        assert_eq!(loader.load(&module()).unwrap().source, Source::Compiled);
    }
    // Looking up, asking for a permit and saving failed, each time.
    assert_eq!(loader.stats().cache_errors, 6);
}

#[test]
fn an_answer_says_what_became_of_the_save() {
    let loader = loader();
    let loaded = loader.load(&module()).unwrap();
    assert!(loaded.saved.unwrap().unwrap().is_stored());
    // It was there, and nothing was saved.
    assert!(loader.load(&module()).unwrap().saved.is_none());

    loader.cache().inject(Method::Save, Fault::Panic);
    let other = HashedModule::new(wasm(2, 1000));
    assert!(loader.load(&other).unwrap().saved.unwrap().is_err());
    let broken = ModuleLoader::new(TestEngine::new("loader"), FailingCache::new());
    assert!(broken.load(&module()).unwrap().saved.unwrap().is_err());
}

#[test]
fn a_cache_that_panics_while_saving_does_not_wedge_the_key() {
    let loader = loader();
    loader.cache().inject(Method::Save, Fault::Panic);
    assert!(loader.load(&module()).is_ok());
    loader.cache().heal(Method::Save);
    assert!(loader.load(&module()).is_ok());
    assert_eq!(loader.load(&module()).unwrap().source, Source::Resident);
}

#[test]
fn no_more_modules_are_compiled_at_a_time_than_allowed() {
    let loader = loader().with_max_compiles(NonZeroUsize::new(2).unwrap());
    let held = loader.engine().hold_compiles();
    thread::scope(|scope| {
        for n in 0..6 {
            let loader = &loader;
            scope.spawn(move || loader.load(&HashedModule::new(wasm(n, 1000))).unwrap());
        }
        held.wait_for(2);
        sleep_a_little();
        assert_eq!(loader.engine().compiles(), 2);
        drop(held);
    });
    assert_eq!(loader.engine().compiles(), 6);
}

#[test]
fn a_module_of_one_engine_is_never_handed_to_another_of_equal_id() {
    let cache = Arc::new(ReferenceCache::<TestEngine>::new());
    let first = ModuleLoader::new(TestEngine::new("loader"), Arc::clone(&cache));
    let second = ModuleLoader::new(first.engine().same_id(), cache);
    first.load(&module()).unwrap();
    let loaded = second.load(&module()).unwrap();
    assert_eq!(loaded.source, Source::Compiled);
    assert_eq!(loaded.module.instance(), second.engine().instance().id());
}

#[test]
fn a_second_lookup_follows_even_a_permit_that_came_at_once() {
    // Between the loader's miss and its permit, another process stores the module.
    let store = ReferenceStore::new();
    let cache = Observed::new(StoreCache(store.clone()));
    let loader = ModuleLoader::new(TestEngine::new("loader"), cache);
    let asking = loader.cache().hold(Method::CompilePermit);
    thread::scope(|scope| {
        let load = scope.spawn(|| loader.load(&module()));
        asking.wait_for(1);
        let other = loader.engine().same_id();
        let compiled = other.compile(module().wasm()).unwrap();
        let key: ModuleHash = module().hash();
        let _ = StoreCache(store.clone())
            .save(key, &other, &compiled)
            .unwrap();
        drop(asking);
        assert_eq!(load.join().unwrap().unwrap().source, Source::Stored);
    });
    assert_eq!(loader.engine().compiles(), 0);
}

#[test]
fn a_flood_of_one_invalid_module_is_compiled_once() {
    let loader = loader();
    let invalid = HashedModule::new(&b"no wasm"[..]);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let error = loader.load(&invalid).unwrap_err();
                    assert!(matches!(error, LoadError::Compile(error) if error.is_invalid_wasm()));
                }
            });
        }
    });
    assert_eq!(loader.engine().compiles(), 1);
    let stats = loader.stats();
    assert_eq!((stats.failed, stats.compiled), (16_000, 0));
    assert!(stats.known_invalid >= 15_000);
    // It is not fetched either; others are not affected.
    let fetched = loader.load_with(invalid.hash(), || -> Result<Vec<u8>, io::Error> {
        panic!("it is known to be invalid")
    });
    assert!(matches!(fetched, Err(LoadError::Compile(_))));
    assert!(loader.load(&module()).is_ok());
}

#[test]
fn what_may_pass_is_tried_again() {
    let loader = loader();
    loader.engine().fail_to_compile(true);
    for _ in 0..3 {
        assert!(loader.load(&module()).is_err());
    }
    assert_eq!(loader.engine().compiles(), 3);
    loader.engine().fail_to_compile(false);
    assert!(loader.load(&module()).is_ok());
    assert_eq!(loader.stats().known_invalid, 0);
}

#[test]
fn what_is_stored_under_an_accepted_id_is_not_compiled_and_says_which() {
    let store = ReferenceStore::new();
    let compiler = ModuleLoader::new(TestEngine::new("v2"), StoreCache(store.clone()));
    let compiled = compiler.load(&module()).unwrap();
    assert_eq!(compiled.accepted_id, None);
    let v2 = *compiler.engine().id();

    let engine = TestEngine::accepting("native", &[compiler.engine()]);
    let host = ModuleLoader::new(engine, StoreCache(Observed::new(store.clone())));
    let loaded = host.load(&module()).unwrap();
    assert_eq!(loaded.source, Source::Stored);
    assert_eq!(loaded.accepted_id.as_deref(), Some(&v2));
    assert_eq!(loaded.map(drop).accepted_id.as_deref(), Some(&v2));
    assert_eq!(host.engine().compiles(), 0);
    assert_eq!(host.cache().0.calls(Method::Save), 0, "it stays as it is");
    assert_eq!(host.cache().0.calls(Method::CompilePermit), 0);

    // What is not there is compiled, and stored, under the engine's own id.
    let other = HashedModule::new(wasm(2, 1000));
    let compiled = host.load(&other).unwrap();
    assert_eq!(
        (compiled.source, compiled.accepted_id),
        (Source::Compiled, None)
    );
    let loaded = host.load(&other).unwrap();
    assert_eq!((loaded.source, loaded.accepted_id), (Source::Stored, None));
    assert_eq!(compiler.load(&other).unwrap().source, Source::Compiled);
}

#[test]
fn those_who_wait_for_a_load_hear_of_the_id_too() {
    let store = ReferenceStore::new();
    let compiler = ModuleLoader::new(TestEngine::new("v2"), StoreCache(store.clone()));
    compiler.load(&module()).unwrap();
    let engine = TestEngine::accepting("native", &[compiler.engine()]);
    let host = ModuleLoader::new(engine, StoreCache(Observed::new(store)));
    let held = host.cache().0.hold(Method::Load);
    thread::scope(|scope| {
        let loads = [0; 2].map(|_| scope.spawn(|| host.load(&module()).unwrap()));
        held.wait_for(1);
        sleep_a_little();
        drop(held);
        for load in loads {
            let accepted_id = load.join().unwrap().accepted_id;
            assert_eq!(accepted_id.as_deref(), Some(compiler.engine().id()));
        }
    });
    assert_eq!(host.stats().coalesced, 1);
}
