//! What wasmer-wasix's own tests ask of its caches.

use std::sync::Arc;

use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_memory::SharedCache;
use module_cache_testkit::{Method, Observed};
use module_cache_wasmer::WasmerEngine;
use module_cache_wasmer::wasix::WasixModuleCache;
use tokio::runtime::Handle;
use wasmer_wasix::runtime::module_cache::{self as upstream, CacheError, ModuleCache};

use crate::support::{compile, engine, exports, key};

type Layer = Arc<Observed<SharedCache<WasmerEngine>>>;

fn layer() -> Layer {
    Arc::new(Observed::new(SharedCache::new()))
}

/// Puts the drop-in in front of a layer alone, as for filling it.
fn alone(known: &WasmerEngine, layer: &Layer) -> impl ModuleCache + use<> {
    WasixModuleCache::new([known.clone()], Arc::clone(layer), Handle::current())
}

#[tokio::test]
async fn a_saved_module_comes_back() {
    let (engine, known) = engine();
    let cache = WasixModuleCache::new([known], SharedCache::new(), Handle::current());
    assert!(!cache.contains(key(), &engine).await.unwrap());

    cache.save(key(), &engine, &compile(&engine)).await.unwrap();

    assert!(cache.contains(key(), &engine).await.unwrap());
    let module = cache.load(key(), &engine).await.unwrap();
    assert_eq!(exports(&module), ["add"]);
}

#[tokio::test]
async fn a_folder_is_made_where_there_is_none() {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path().join("this").join("doesn't").join("exist");
    let (engine, known) = engine();
    let files = FileSystemCache::open(&folder).unwrap();
    let cache = WasixModuleCache::new([known], files, Handle::current());

    cache.save(key(), &engine, &compile(&engine)).await.unwrap();

    assert!(folder.is_dir());
}

#[tokio::test]
async fn a_module_that_is_not_there_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, known) = engine();
    let files = FileSystemCache::open(folder.path()).unwrap();
    let cache = WasixModuleCache::new([known], files, Handle::current());

    let error = cache.load(key(), &engine).await.unwrap_err();

    assert!(matches!(error, CacheError::NotFound), "{error:?}");
}

#[tokio::test]
async fn a_module_is_loaded_from_a_folder_that_another_engine_filled() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (engine, known) = engine();
        let files = FileSystemCache::open(folder.path()).unwrap();
        let cache = WasixModuleCache::new([known], files, Handle::current());
        cache.save(key(), &engine, &compile(&engine)).await.unwrap();
    }
    let (engine, known) = engine();
    let files = FileSystemCache::open(folder.path()).unwrap();
    let cache = WasixModuleCache::new([known], files, Handle::current());
    assert!(cache.contains(key(), &engine).await.unwrap());

    let module = cache.load(key(), &engine).await.unwrap();

    assert_eq!(exports(&module), ["add"]);
}

#[tokio::test]
async fn a_module_of_the_first_layer_is_not_looked_up_in_the_second() {
    let (engine, known) = engine();
    let (first, second) = (layer(), layer());
    let module = compile(&engine);
    alone(&known, &first)
        .save(key(), &engine, &module)
        .await
        .unwrap();
    let chain = Arc::clone(&first).with_fallback(Arc::clone(&second));
    let cache = WasixModuleCache::new([known.clone()], chain, Handle::current());

    assert_eq!(cache.load(key(), &engine).await.unwrap(), module);

    assert_eq!(second.calls(Method::Load), 0);
    assert!(alone(&known, &second).load(key(), &engine).await.is_err());
}

#[tokio::test]
async fn a_module_of_the_second_layer_is_promoted_once() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, known) = engine();
    let (first, second) = (layer(), FileSystemCache::open(folder.path()).unwrap());
    let second = Arc::new(second);
    WasixModuleCache::new([known.clone()], Arc::clone(&second), Handle::current())
        .save(key(), &engine, &compile(&engine))
        .await
        .unwrap();
    let chain = Arc::clone(&first).with_fallback(Arc::clone(&second));
    let cache = WasixModuleCache::new([known.clone()], chain, Handle::current());

    let module = cache.load(key(), &engine).await.unwrap();
    assert_eq!(cache.load(key(), &engine).await.unwrap(), module);

    assert_eq!(first.calls(Method::Save), 1);
    assert_eq!(second.stats().hits, 1);
    let promoted = alone(&known, &first).load(key(), &engine).await.unwrap();
    assert_eq!(promoted, module);
}

#[tokio::test]
async fn a_save_reaches_both_layers() {
    let (engine, known) = engine();
    let (first, second) = (layer(), layer());
    let module = compile(&engine);
    let chain = Arc::clone(&first).with_fallback(Arc::clone(&second));
    let cache = WasixModuleCache::new([known.clone()], chain, Handle::current());

    cache.save(key(), &engine, &module).await.unwrap();

    for layer in [first, second] {
        let saved = alone(&known, &layer).load(key(), &engine).await.unwrap();
        assert_eq!(saved, module);
    }
}

#[tokio::test]
async fn it_combines_with_the_caches_of_wasmer_wasix() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, known) = engine();
    let files = FileSystemCache::open(folder.path()).unwrap();
    let below = WasixModuleCache::new([known], files, Handle::current());
    below.save(key(), &engine, &compile(&engine)).await.unwrap();
    let cache = ModuleCache::with_fallback(upstream::SharedCache::default(), below);

    let module = cache.load(key(), &engine).await.unwrap();

    assert_eq!(cache.primary().load(key(), &engine).await.unwrap(), module);
}
