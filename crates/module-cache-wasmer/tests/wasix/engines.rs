//! Which engines are served, and with whose modules.

use module_cache_filesystem::FileSystemCache;
use module_cache_memory::SharedCache;
use module_cache_wasmer::WasmerEngine;
use module_cache_wasmer::wasix::{WasixModuleCache, WasixModuleLoader};
use tokio::runtime::Handle;
use wasmer::sys::{BaseTunables, NativeEngineExt};
use wasmer::{Engine, Instance, Module, Store, imports};
use wasmer_wasix::runtime::ModuleInput;
use wasmer_wasix::runtime::module_cache::{CacheError, ModuleCache};

use crate::support::{compile, engine, key, wasm};

/// A cache that holds the module for the engine it was made with.
async fn filled(
    engine: &Engine,
    known: WasmerEngine,
) -> WasixModuleCache<SharedCache<WasmerEngine>> {
    let cache = WasixModuleCache::new([known], SharedCache::new(), Handle::current());
    cache.save(key(), engine, &compile(engine)).await.unwrap();
    cache
}

async fn assert_unknown(cache: &WasixModuleCache<SharedCache<WasmerEngine>>, engine: &Engine) {
    let before = cache.cache().stats();
    assert!(!cache.contains(key(), engine).await.unwrap());
    cache.save(key(), engine, &compile(engine)).await.unwrap();
    let error = cache.load(key(), engine).await.unwrap_err();
    assert!(matches!(error, CacheError::NotFound), "{error:?}");
    assert_eq!(cache.cache().stats(), before);
}

#[tokio::test]
async fn a_clone_of_an_engine_is_that_engine() {
    let (engine, known) = engine();
    let cache = filled(&engine, known).await;
    let store = Store::new(engine.clone());
    for clone in [&engine.clone(), store.engine()] {
        assert_eq!(clone.id(), engine.id());
        assert!(cache.load(key(), clone).await.is_ok());
    }
}

#[tokio::test]
async fn an_engine_that_was_not_given_is_served_nothing() {
    let (engine, known) = engine();
    let cache = filled(&engine, known).await;
    assert_unknown(&cache, &crate::support::engine().0).await;
}

#[tokio::test]
async fn a_clone_with_other_tunables_is_another_engine() {
    let (engine, known) = engine();
    let cache = filled(&engine, known).await;
    let mut other = engine.clone();
    other.set_tunables(BaseTunables::new());
    assert_eq!(other.id(), engine.id());
    assert_unknown(&cache, &other).await;
}

#[tokio::test]
async fn each_of_two_engines_gets_modules_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (first, known_first) = engine();
    let (second, known_second) = engine();
    let files = FileSystemCache::open(folder.path()).unwrap();
    let memory = SharedCache::new();
    let engines = [known_first, known_second];
    let live = WasixModuleCache::new(engines.clone(), memory, Handle::current());
    let stored = WasixModuleCache::new(engines, files, Handle::current());
    let module = compile(&first);
    live.save(key(), &first, &module).await.unwrap();
    stored.save(key(), &first, &module).await.unwrap();

    // A live module belongs to its engine; stored code serves both, as they are configured alike.
    assert!(live.load(key(), &second).await.is_err());
    let loaded = stored.load(key(), &second).await.unwrap();
    live.save(key(), &second, &loaded).await.unwrap();

    assert_eq!(live.load(key(), &first).await.unwrap(), module);
    assert_eq!(live.load(key(), &second).await.unwrap(), loaded);
    for (engine, module) in [(first, module), (second, loaded)] {
        assert_eq!(add(&engine, &module), 42);
    }
}

#[tokio::test]
async fn a_loader_compiles_for_an_engine_that_was_not_given_and_keeps_nothing() {
    let (engine, known) = engine();
    let loader = WasixModuleLoader::new(filled(&engine, known).await);
    let (other, _) = crate::support::engine();
    assert!(loader.loader(&other).is_none());

    let input = ModuleInput::Bytes(wasm().into());
    let module = loader.resolve_module(input, &other, None).await.unwrap();

    assert_eq!(add(&other, &module), 42);
    assert_eq!(loader.loader(&engine).unwrap().cache().len(), 1);
}

fn add(engine: &Engine, module: &Module) -> i64 {
    let mut store = Store::new(engine.clone());
    let instance = Instance::new(&mut store, module, &imports! {}).unwrap();
    let add = instance
        .exports
        .get_typed_function::<(i64, i64), i64>(&store, "add")
        .unwrap();
    add.call(&mut store, 40, 2).unwrap()
}
