//! wasmtime and wasmer with one folder: what they store of one module lies side by side and is never mixed up.

use std::fs;

use module_cache::{
    FileSystemCache, ModuleCache, ModuleHash, WasmerEngine,
    backend::{Compile, Engine},
};
use module_cache_wasmtime::WasmtimeEngine;

const WASM: &str = r#"(module (func (export "answer") (result i32) i32.const 42))"#;

fn wasmtime_engine() -> WasmtimeEngine {
    WasmtimeEngine::new(&wasmtime::Engine::default()).unwrap()
}

fn call_wasmtime(engine: &WasmtimeEngine, module: &wasmtime::Module) -> i32 {
    let mut store = wasmtime::Store::new(engine.engine(), ());
    let instance = wasmtime::Instance::new(&mut store, module, &[]).unwrap();
    let answer = instance.get_typed_func::<(), i32>(&mut store, "answer");
    answer.unwrap().call(&mut store, ()).unwrap()
}

fn wasmer_engine() -> WasmerEngine {
    WasmerEngine::without_middleware(&wasmer::sys::Cranelift::new().into()).unwrap()
}

fn call_wasmer(engine: &WasmerEngine, module: &wasmer::Module) -> i32 {
    let mut store = wasmer::Store::new(engine.engine().clone());
    let instance = wasmer::Instance::new(&mut store, module, &wasmer::imports! {}).unwrap();
    let answer = instance.exports.get_typed_function(&store, "answer");
    let answer: wasmer::TypedFunction<(), i32> = answer.unwrap();
    answer.call(&mut store).unwrap()
}

#[test]
fn artifacts_of_wasmtime_and_wasmer_lie_side_by_side() {
    let keep = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let wasm = wat::parse_str(WASM).unwrap();
    let hash = ModuleHash::of(&wasm);
    let (wasmtime, wasmer) = (wasmtime_engine(), wasmer_engine());

    let module = wasmtime.compile(&wasm).unwrap();
    assert!(cache.save(hash, &wasmtime, &module).unwrap().is_stored());
    assert!(cache.load(hash, &wasmer).unwrap().is_none());

    let module = wasmer.compile(&wasm).unwrap();
    assert!(cache.save(hash, &wasmer, &module).unwrap().is_stored());
    let of_wasmtime = cache.load(hash, &wasmtime).unwrap().unwrap();
    assert_eq!(call_wasmtime(&wasmtime, &of_wasmtime), 42);
    let of_wasmer = cache.load(hash, &wasmer).unwrap().unwrap();
    assert_eq!(call_wasmer(&wasmer, &of_wasmer), 42);

    assert!(cache.remove(hash, &wasmtime).unwrap());
    assert!(cache.contains(hash, &wasmer).unwrap());
}

#[test]
fn an_artifact_in_the_place_of_the_other_runtimes_is_a_miss() {
    let keep = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let wasm = wat::parse_str(WASM).unwrap();
    let hash = ModuleHash::of(&wasm);
    let (wasmtime, wasmer) = (wasmtime_engine(), wasmer_engine());
    let module = wasmtime.compile(&wasm).unwrap();
    assert!(cache.save(hash, &wasmtime, &module).unwrap().is_stored());
    let module = wasmer.compile(&wasm).unwrap();
    assert!(cache.save(hash, &wasmer, &module).unwrap().is_stored());

    let folder = cache.root().join("v1");
    let of_wasmtime = folder.join(format!("{}/{hash}", wasmtime.id()));
    let of_wasmer = folder.join(format!("{}/{hash}", wasmer.id()));
    let aside = folder.join("aside");
    fs::rename(&of_wasmtime, &aside).unwrap();
    fs::rename(&of_wasmer, &of_wasmtime).unwrap();
    fs::rename(&aside, &of_wasmer).unwrap();

    assert!(cache.load(hash, &wasmtime).unwrap().is_none());
    assert!(cache.load(hash, &wasmer).unwrap().is_none());
}
