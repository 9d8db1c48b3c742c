//! wasmer on the WebAssembly of a browser: its modules are cached like those of its other backends.

#![cfg(all(target_arch = "wasm32", target_os = "unknown"))]

mod support;

use module_cache_core::Engine;
use module_cache_core::HashedModule;
use module_cache_loader::{LoadError, ModuleLoader, Source};
use module_cache_memory::{ThreadLocalCache, in_memory};
use module_cache_wasmer::WasmerEngine;
use support::hashed;
use wasm_bindgen_test::wasm_bindgen_test;
use wasmer::{Instance, Module, Store, Value, imports};

fn engine() -> WasmerEngine {
    WasmerEngine::without_middleware(&wasmer::Engine::default()).unwrap()
}

/// What the module's function returns.
fn answer_of(module: &Module, engine: &WasmerEngine) -> Vec<Value> {
    let mut store = Store::new(engine.engine().clone());
    let instance = Instance::new(&mut store, module, &imports! {}).unwrap();
    let answer = instance.exports.get_function("answer").unwrap();
    answer.call(&mut store, &[]).unwrap().into_vec()
}

#[wasm_bindgen_test]
fn a_module_is_compiled_once_and_runs() {
    let engine = engine();
    let cache: ThreadLocalCache<WasmerEngine> = in_memory();
    let loader = ModuleLoader::new(engine.clone(), cache);
    for source in [Source::Compiled, Source::Resident, Source::Resident] {
        let loaded = loader.load(&hashed(42)).unwrap();
        assert_eq!(loaded.source, source);
        assert_eq!(answer_of(&loaded.module, &engine), [Value::I32(42)]);
    }
    assert_eq!(loader.stats().compiled, 1);
}

#[wasm_bindgen_test]
fn engines_of_equal_id_have_modules_of_their_own() {
    let (one, other) = (engine(), engine());
    assert_eq!(one.id(), other.id());
    let cache = in_memory();
    let loader = ModuleLoader::new(one, &cache);
    loader.load(&hashed(1)).unwrap();
    let loader = ModuleLoader::new(other, &cache);
    assert_eq!(loader.load(&hashed(1)).unwrap().source, Source::Compiled);
}

#[wasm_bindgen_test]
fn what_is_not_wasm_is_an_error() {
    let loader = ModuleLoader::new(engine(), in_memory());
    let bad = HashedModule::new(&b"not wasm"[..]);
    assert!(matches!(loader.load(&bad), Err(LoadError::Compile(_))));
}
