//! Middleware: never mixed up, and no danger when it panics.

use std::sync::Arc;

use module_cache_core::{Artifact, ArtifactEngine, Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_memory::SharedCache;
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::{CompilerConfig, Cranelift, EngineBuilder, Singlepass};
use wasmer::{Instance, Module, Store, Value, imports};
use wasmer_middlewares::Metering;

use crate::support::{LARGE, SMALL, at, letter, load_artifact, wasm};

const NAME: &str = "metering:operators,limit=0";

/// An engine whose modules may not run a single operator. wasmer's metering serves one module only.
fn metered(mut compiler: impl CompilerConfig + 'static) -> WasmerEngine {
    compiler.push_middleware(Arc::new(Metering::new(0, |_| 1)));
    WasmerEngine::with_middleware(&EngineBuilder::new(compiler).into(), NAME).unwrap()
}

fn unmetered(compiler: impl CompilerConfig + 'static) -> WasmerEngine {
    WasmerEngine::without_middleware(&EngineBuilder::new(compiler).into()).unwrap()
}

/// Whether the engine runs a function of the module to its end.
fn runs(engine: &WasmerEngine, module: &Module) -> bool {
    let mut store = Store::new(engine.engine().clone());
    let instance = Instance::new(&mut store, module, &imports! {}).unwrap();
    let at = instance.exports.get_function("at").unwrap();
    at.call(&mut store, &[Value::I32(0)]).is_ok()
}

/// What holds for every cache and compiler.
fn is_never_mixed_up(
    cache: &impl ModuleCache<WasmerEngine>,
    compiler: impl CompilerConfig + Clone + 'static,
) {
    let (plain, metered) = (unmetered(compiler.clone()), metered(compiler));
    let wasm = wasm(LARGE);
    let hash = ModuleHash::of(&wasm);
    for (engine, other) in [(&plain, &metered), (&metered, &plain)] {
        let module = engine.compile(&wasm).unwrap();
        assert!(cache.save(hash, engine, &module).unwrap().is_stored());
        let loaded = cache.load(hash, engine).unwrap().unwrap();
        assert_eq!(runs(engine, &loaded), engine.id() == plain.id());
        assert!(cache.load(hash, other).unwrap().is_none());
        assert!(cache.remove(hash, engine).unwrap());
    }
}

#[test]
fn metered_and_unmetered_engines_never_share_a_live_module() {
    is_never_mixed_up(&SharedCache::new(), Cranelift::new());
    is_never_mixed_up(&SharedCache::new(), Singlepass::new());
}

#[test]
fn metered_and_unmetered_engines_never_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(dir.path().join("cache")).unwrap();
    is_never_mixed_up(&cache, Cranelift::new());
    is_never_mixed_up(&cache, Singlepass::new());
}

#[test]
fn after_a_panic_in_the_compiler_every_call_of_that_engine_is_an_error() {
    let engine = metered(Cranelift::new());
    let module = engine.compile(&wasm(SMALL)).unwrap();
    let artifact = engine.serialize(&module).unwrap().into_owned();
    let load = |engine| load_artifact(engine, Artifact::Bytes(artifact.clone()));

    let error = engine.compile(&wasm(LARGE)).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the engine panicked: Metering"), "{text}");
    for error in [
        engine.compile(&wasm(LARGE)).unwrap_err(),
        load(&engine).unwrap_err(),
        WasmerEngine::with_middleware(engine.engine(), NAME).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.starts_with("the engine panicked: "), "{text}");
    }

    // What it had compiled is not lost: a new engine loads it.
    assert!(engine.serialize(&module).unwrap() == artifact);
    let fresh = metered(Cranelift::new());
    assert_eq!(fresh.id(), engine.id());
    assert!(!runs(&fresh, &load(&fresh).unwrap()));
}

#[test]
fn an_engine_without_middleware_may_have_a_name_too() {
    let engine = wasmer::Engine::from(Cranelift::new());
    let named = WasmerEngine::with_middleware(&engine, "patched").unwrap();
    let module = named.compile(&wasm(SMALL)).unwrap();
    assert_eq!(at(&named, &module, 4), letter(4));
}
