//! Real wasm through a folder: what is loaded, here or in another process, does what the compiled module does.

use std::fs;
use std::path::Path;
use std::process::Command;

use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmer::WasmerEngine;
use wasmer::{ExternType, Function, Imports, Instance, Memory, Module, Store, Type, Value};

use crate::support::{cranelift, singlepass};
use crate::{corpus, role};

/// What to call in each module, on a host where nothing works.
const CALLS: [(&str, &str, &[Value]); 4] = [
    ("esbuild", "getsp", &[]),
    ("qjs", "malloc", &[Value::I32(100_000)]),
    // Cannot get its arguments and exits, which ends in a trap where that does not work either.
    ("resvg", "_start", &[]),
    ("sqlite", "sqlite3_libversion_number", &[]),
];

#[test]
fn what_cranelift_compiled_does_the_same_when_loaded() {
    does_the_same_when_loaded(
        &cranelift(),
        "whole_corpus::what_cranelift_compiled_does_the_same_when_loaded",
    );
}

#[test]
fn what_singlepass_compiled_does_the_same_when_loaded() {
    does_the_same_when_loaded(
        &singlepass(),
        "whole_corpus::what_singlepass_compiled_does_the_same_when_loaded",
    );
}

/// `this_test` is the name by which another process plays its part.
fn does_the_same_when_loaded(engine: &WasmerEngine, this_test: &str) {
    if let Some(folder) = role::role() {
        let folder = Path::new(&folder);
        return fs::write(folder.join("outcomes"), load_and_call(folder, engine)).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let compiled = compile_save_and_call(dir.path(), engine);
    assert_eq!(load_and_call(dir.path(), engine), compiled);

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this_test])
        .env(role::ROLE, dir.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    assert_eq!(
        fs::read_to_string(dir.path().join("outcomes")).unwrap(),
        compiled
    );
}

fn compile_save_and_call(folder: &Path, engine: &WasmerEngine) -> String {
    let cache = FileSystemCache::open(folder.join("cache")).unwrap();
    let call_one = |(name, function, arguments)| {
        let wasm = corpus::wasm(name);
        let module = engine.compile(&wasm).unwrap();
        let outcome = cache.save(ModuleHash::of(&wasm), engine, &module).unwrap();
        assert!(outcome.is_stored(), "{name}: {outcome:?}");
        call(engine, &module, function, arguments)
    };
    CALLS.map(call_one).concat()
}

fn load_and_call(folder: &Path, engine: &WasmerEngine) -> String {
    let cache = FileSystemCache::open(folder.join("cache")).unwrap();
    let call_one = |(name, function, arguments)| {
        let hash = ModuleHash::of(&corpus::wasm(name));
        let module = cache.load(hash, engine).unwrap().unwrap();
        call(engine, &module, function, arguments)
    };
    CALLS.map(call_one).concat()
}

/// What a call returns, or how it traps, and what it leaves in memory.
fn call(engine: &WasmerEngine, module: &Module, function: &str, arguments: &[Value]) -> String {
    let mut store = Store::new(engine.engine().clone());
    let imports = failing_host(&mut store, module);
    let instance = Instance::new(&mut store, module, &imports).unwrap();
    let called = instance.exports.get_function(function).unwrap();
    let result = called
        .call(&mut store, arguments)
        .map_err(|trap| trap.to_string());
    let memory: Vec<ModuleHash> = instance
        .exports
        .iter()
        .memories()
        .map(|(_, memory)| ModuleHash::of(&memory.view(&store).copy_to_vec().unwrap()))
        .collect();
    format!("{function} {result:?} {memory:?}\n")
}

/// Everything that the module imports, with functions that do nothing but fail.
fn failing_host(store: &mut Store, module: &Module) -> Imports {
    let mut imports = Imports::new();
    for import in module.imports() {
        let (module, name) = (import.module(), import.name());
        match import.ty() {
            ExternType::Function(ty) => {
                let results: Vec<Value> = ty.results().iter().map(|ty| failure(*ty)).collect();
                let function = Function::new(store, ty, move |_| Ok(results.clone()));
                imports.define(module, name, function);
            }
            ExternType::Memory(ty) => {
                imports.define(module, name, Memory::new(store, *ty).unwrap());
            }
            other => panic!("nothing in the corpus imports {other:?}"),
        }
    }
    imports
}

fn failure(ty: Type) -> Value {
    match ty {
        // "Not supported", in WASI.
        Type::I32 => Value::I32(52),
        Type::I64 => Value::I64(-1),
        Type::F64 => Value::F64(f64::NAN),
        other => panic!("nothing in the corpus imports a function that returns {other:?}"),
    }
}
