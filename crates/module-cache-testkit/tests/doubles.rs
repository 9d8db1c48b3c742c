//! The doubles do to their callers what they promise.

#![expect(clippy::disallowed_methods, reason = "the engine is tested by itself")]

use std::panic::{self, AssertUnwindSafe};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::{
    Artifact, ArtifactEngine, Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash,
    StoreCache,
};
use module_cache_testkit::{
    FailingCache, Fault, Method, Observed, ReferenceCache, ReferenceStore, TestEngine, TestModule,
    wasm,
};

#[test]
fn an_artifact_makes_the_module_again_and_the_same_artifact() {
    let (engine, module) = compiled();
    let artifact = engine.serialize(&module).unwrap().into_owned();
    let twin = engine.same_id();
    // SAFETY: made by `serialize` on an engine of equal id just above.
    let loaded = unsafe { twin.deserialize(Artifact::Bytes(artifact.clone())) }.unwrap();
    assert_eq!(loaded.wasm(), module.wasm());
    assert_eq!(loaded.instance(), twin.instance().id());
    assert!(!loaded.is_same_object(&module));
    assert_eq!(*twin.serialize(&loaded).unwrap(), artifact);
    assert_eq!((engine.serializes(), engine.deserializes()), (1, 0));
    assert_eq!((twin.serializes(), twin.deserializes()), (1, 1));
}

#[test]
fn an_engine_refuses_a_module_of_another() {
    let (engine, module) = compiled();
    assert!(engine.same_id().serialize(&module).is_err());
    assert!(TestEngine::new("other").serialize(&module).is_err());
}

#[test]
fn unproven_code_makes_an_engine_panic() {
    let (engine, module) = compiled();
    let artifact = engine.serialize(&module).unwrap().into_owned();
    let panics = |engine: &TestEngine, bytes: &[u8]| {
        let artifact = Artifact::Bytes(bytes.to_vec());
        // SAFETY: this engine executes nothing, and checks the bytes with safe code, as is tested here.
        let load = AssertUnwindSafe(|| unsafe { engine.deserialize(artifact) });
        panic::catch_unwind(load).is_err()
    };
    assert!(!panics(&engine, &artifact));
    assert!(panics(&TestEngine::new("other"), &artifact));
    for at in 0..artifact.len() {
        let mut damaged = artifact.clone();
        damaged[at] ^= 1;
        assert!(panics(&engine, &damaged), "byte {at}");
        assert!(panics(&engine, &artifact[..at]), "cut at {at}");
    }
    assert!(panics(&engine, &[&artifact[..], b"more"].concat()));
}

#[test]
fn an_engine_fails_panics_and_takes_its_time_as_it_is_told() {
    let engine = TestEngine::new("double");
    assert!(engine.compile(b"not wasm").is_err());
    engine.fail_to_compile(true);
    assert!(engine.compile(&wasm(1, 0)).is_err());
    engine.fail_to_compile(false);

    let clone = engine.clone();
    clone.panic_in_compile(true);
    assert!(panic::catch_unwind(AssertUnwindSafe(|| engine.compile(&wasm(1, 0)))).is_err());
    clone.panic_in_compile(false);

    clone.set_compile_time(Duration::from_millis(30));
    let start = Instant::now();
    assert!(engine.compile(&wasm(1, 0)).is_ok());
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert_eq!(engine.compiles(), 4);
}

#[test]
fn held_calls_wait_until_the_last_hold_is_dropped() {
    let (engine, module) = compiled();
    let key = ModuleHash::of(module.wasm());
    let cache = Observed::new(ReferenceCache::new());
    let compiles = engine.hold_compiles();
    let saves = [cache.hold(Method::Save), cache.hold(Method::Save)];
    thread::scope(|scope| {
        let compile = scope.spawn(|| engine.compile(module.wasm()));
        let save = scope.spawn(|| cache.save(key, &engine, &module));
        compiles.wait_for(1);
        for hold in saves {
            hold.wait_for(1);
            assert!(cache.load(key, &engine).unwrap().is_none());
            drop(hold);
        }
        assert!(save.join().unwrap().unwrap().is_stored());
        assert!(!compile.is_finished());
        drop(compiles);
        assert!(compile.join().unwrap().is_ok());
    });
    let loaded = cache.load(key, &engine).unwrap().unwrap();
    assert!(loaded.is_same_object(&module));
    assert_eq!(cache.calls(Method::Save), 1);
    assert_eq!(cache.calls(Method::Load), 3);
}

#[test]
fn a_broken_method_fails_until_it_is_healed_and_does_nothing() {
    let (engine, module) = compiled();
    let key = ModuleHash::of(module.wasm());
    let cache = Observed::new(ReferenceCache::new());
    cache.inject(Method::Save, Fault::Panic);
    let save = AssertUnwindSafe(|| cache.save(key, &engine, &module));
    assert!(panic::catch_unwind(save).is_err());
    cache.inject(Method::Save, Fault::Error);
    assert!(cache.save(key, &engine, &module).is_err());
    assert!(cache.inner().is_empty());
    cache.heal(Method::Save);
    assert!(cache.save(key, &engine, &module).is_ok());

    cache.inject(Method::LoadResident, Fault::Error);
    assert!(cache.load_resident(key, &engine).is_none());
    assert!(cache.load(key, &engine).unwrap().is_some());
}

#[test]
fn a_failing_cache_fails_and_counts() {
    let (engine, module) = compiled();
    let key = ModuleHash::of(module.wasm());
    let cache = FailingCache::new();
    assert!(cache.load(key, &engine).is_err());
    assert!(cache.save(key, &engine, &module).is_err());
    assert!(cache.load_resident(key, &engine).is_none());
    assert!(ModuleCache::<TestEngine>::flush(&cache).is_err());
    assert_eq!(cache.calls(), 3);
}

#[test]
fn a_reference_store_deletes_only_what_is_corrupt() {
    let (engine, module) = compiled();
    let key = EntryKey::new(ModuleHash::of(module.wasm()), *engine.id());
    let other = EntryKey::new(ModuleHash::of(b"other"), *engine.id());
    let store = ReferenceStore::new();
    let cache = StoreCache(store.clone());
    assert!(cache.save(key.hash(), &engine, &module).is_ok());
    let bytes = store.stored_bytes(&key).unwrap();

    store.set_stored_bytes(&other, bytes.clone());
    assert!(store.get(&other).unwrap().is_none());
    assert_eq!((store.len(), store.rejections()), (2, 1));

    store.set_stored_bytes(&key, bytes[1..].to_vec());
    assert!(cache.load(key.hash(), &engine).unwrap().is_none());
    assert_eq!((store.len(), store.rejections()), (1, 1));

    // What cannot be used does not stand in the way of what can.
    store.set_stored_bytes(&key, store.stored_bytes(&other).unwrap()[1..].to_vec());
    let saved = cache.save(key.hash(), &engine, &module).unwrap();
    assert!(saved.is_stored());
    assert_eq!(store.stored_bytes(&key), Some(bytes));
}

fn compiled() -> (TestEngine, TestModule) {
    let engine = TestEngine::new("double");
    let module = engine.compile(&wasm(1, 100)).unwrap();
    (engine, module)
}
