//! What a subscriber sees of a load: a path from the request down to the layer that answered.

mod followed;

use followed::followed;
use module_cache_core::{Engine, HashedModule};
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::ModuleLoader;
use module_cache_memory::SharedCache;
use module_cache_testkit::{TestEngine, wasm};

type Layers = FallbackCache<SharedCache<TestEngine>, FileSystemCache>;

fn loader(folder: &tempfile::TempDir) -> ModuleLoader<TestEngine, Layers> {
    let folder = FileSystemCache::open(folder.path().join("modules")).unwrap();
    let cache = SharedCache::new().with_fallback(folder);
    ModuleLoader::new(TestEngine::new("tracing"), cache)
}

fn module() -> HashedModule<'static> {
    HashedModule::new(wasm(1, 1000))
}

#[test]
fn a_load_can_be_followed_from_the_request_to_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    let cold = followed(|request| request.in_scope(|| drop(loader(&folder).load(&module()))));
    assert_eq!(
        cold.paths,
        [
            "request",
            "request/load_module",
            "request/load_module/look_up",
            "request/load_module/look_up/fallback",
            "request/load_module/look_up/fallback/filesystem_get",
            "request/load_module/look_up/fallback/filesystem_get: no entry",
            "request/load_module/slot",
            "request/load_module/permit",
            "request/load_module/permit: asked for a permit",
            // Another process may have been faster.
            "request/load_module/look_up",
            "request/load_module/look_up/fallback",
            "request/load_module/look_up/fallback/filesystem_get",
            "request/load_module/look_up/fallback/filesystem_get: no entry",
            "request/load_module/compile",
            "request/load_module/compile: compiled",
            "request/load_module: loaded",
            "request/load_module/save",
            "request/load_module/save/filesystem_put",
            "request/load_module/save/filesystem_put: entry stored",
            "request/load_module/save: saved",
        ]
    );
    let stored = followed(|request| request.in_scope(|| drop(loader(&folder).load(&module()))));
    assert_eq!(
        stored.paths,
        [
            "request",
            "request/load_module",
            "request/load_module/look_up",
            "request/load_module/look_up/fallback",
            "request/load_module/look_up/fallback/filesystem_get",
            "request/load_module/look_up/fallback/filesystem_get: entry found",
            "request/load_module/look_up/fallback: promoted",
            "request/load_module: loaded",
        ]
    );
}

#[test]
fn a_miss_says_what_code_of_other_engines_there_is() {
    let folder = tempfile::tempdir().unwrap();
    loader(&folder).load(&module()).unwrap();
    let folder = FileSystemCache::open(folder.path().join("modules")).unwrap();
    let other = ModuleLoader::new(TestEngine::new("another"), folder);
    let seen = followed(|request| request.in_scope(|| drop(other.load(&module()))));
    let path = "request/load_module/look_up: an entry of another engine is not used";
    assert!(
        seen.paths.iter().any(|seen| seen == path),
        "{:?}",
        seen.paths
    );
    let reasons = seen.fields.iter().filter(|(_, field, _)| field == "reason");
    let expected = "it is code of tracing, and this engine is another";
    assert!(
        reasons
            .map(|(_, _, reason)| &**reason)
            .any(|reason| reason.contains(expected))
    );
}

#[test]
fn every_span_that_names_a_module_or_an_engine_names_it_the_same_way() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(&folder);
    let seen = followed(|request| request.in_scope(|| drop(loader.load(&module()))));
    let values = |field: &str| {
        let named = seen.fields.iter().filter(|(_, name, _)| name == field);
        let mut values: Vec<_> = named.map(|(_, _, value)| value.as_str()).collect();
        values.dedup();
        values
    };
    assert_eq!(values("hash"), [module().hash().to_string()]);
    assert_eq!(values("engine"), [loader.engine().id().to_string()]);
    let on_load = |field: &str, value: &str| {
        seen.fields
            .contains(&("load_module".into(), field.into(), value.into()))
    };
    assert!(on_load("source", "compiled"), "{:?}", seen.fields);
}

#[test]
fn a_resident_hit_makes_no_span_and_no_event() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(&folder);
    loader.load(&module()).unwrap();
    let hit = followed(|request| request.in_scope(|| drop(loader.load(&module()))));
    assert_eq!(hit.paths, ["request"]);
}

#[test]
fn a_load_that_failed_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let loader = loader(&folder);
    loader.engine().fail_to_compile(true);
    let seen = followed(|request| request.in_scope(|| drop(loader.load(&module()))));
    assert_eq!(
        seen.paths.last().unwrap(),
        "request/load_module: not loaded"
    );
    let error = seen.fields.iter().find(|(_, name, _)| name == "error");
    assert!(error.unwrap().2.contains("told to fail"), "{error:?}");
}

#[cfg(feature = "tokio")]
#[test]
fn an_async_load_is_below_its_request_on_whatever_thread_it_is_done() {
    use std::sync::Arc;

    use module_cache_loader::{AsyncModuleLoader, LoadError};
    use tracing::Instrument;

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let loader = AsyncModuleLoader::new(loader(&folder), runtime.handle().clone());
    let fetch = || async {
        tracing::debug!("fetching");
        Ok::<_, LoadError>(wasm(1, 1000))
    };
    let seen = followed(|request| {
        let load = loader.load_with(module().hash(), fetch);
        runtime.block_on(load.instrument(request.clone())).unwrap();
        // Saving goes on behind the answer, and the span ends with it.
        while Arc::strong_count(loader.loader()) > 1 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    });
    let expected = [
        "request/load_module/look_up/fallback/filesystem_get: no entry",
        "request/load_module/fetch",
        "request/load_module/fetch: fetching",
        "request/load_module/permit: asked for a permit",
        "request/load_module/compile: compiled",
        "request/load_module: loaded",
        "request/load_module/save/filesystem_put: entry stored",
        "request/load_module/save: saved",
    ];
    let mut paths = seen.paths.iter();
    for path in expected {
        assert!(
            paths.any(|seen| seen == path),
            "no {path} in {:#?}",
            seen.paths
        );
    }
}
