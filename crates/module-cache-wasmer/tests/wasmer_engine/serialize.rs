//! Serializing: the same artifact however the module came here, and no module for another machine.

use std::str::FromStr;

use module_cache_core::{ArtifactEngine, Compile, Engine};
use wasmer::Module;
use wasmer::sys::{Cranelift, EngineBuilder, Target, Triple};

use crate::support::{
    LARGE, NewEngine, SMALL, artifact, at, compile_entry, cranelift, entry_in_file, load, wasm,
};

for_each_compiler![
    a_module_loaded_from_a_file_gives_the_artifact_it_was_loaded_from,
    compiling_twice_gives_equal_artifacts,
    what_one_engine_stored_another_of_equal_id_loads_and_calls_its_own,
];

fn a_module_loaded_from_a_file_gives_the_artifact_it_was_loaded_from(new: NewEngine) {
    let engine = new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    for data_len in [SMALL, LARGE] {
        let entry = compile_entry(&engine, &wasm(data_len));
        let module = load(&engine, entry_in_file(&path, &entry)).unwrap();
        assert!(engine.serialize(&module).unwrap() == artifact(&entry));
        // After it has run, too.
        at(&engine, &module, 1);
        assert!(engine.serialize(&module).unwrap() == artifact(&entry));
    }
}

fn compiling_twice_gives_equal_artifacts(new: NewEngine) {
    let wasm = wasm(SMALL);
    let entry = || compile_entry(&new(), &wasm);
    assert!(entry() == entry());
}

fn what_one_engine_stored_another_of_equal_id_loads_and_calls_its_own(new: NewEngine) {
    let (one, other) = (new(), new());
    assert_eq!(one.id(), other.id());
    assert_ne!(one.instance().id(), other.instance().id());

    let dir = tempfile::tempdir().unwrap();
    let entry = compile_entry(&one, &wasm(SMALL));
    drop(one);
    let loaded = load(&other, entry_in_file(&dir.path().join("entry"), &entry)).unwrap();
    assert!(other.serialize(&loaded).unwrap() == artifact(&entry));
}

#[test]
fn a_module_for_another_machine_is_refused() {
    let elsewhere = if cfg!(target_arch = "x86_64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    };
    let triple = Triple::from_str(elsewhere).unwrap();
    let target = Target::new(triple, wasmer::sys::CpuFeature::SSE2.into());
    let engine = EngineBuilder::new(Cranelift::new())
        .set_target(Some(target))
        .engine();
    let engine = wasmer::Engine::from(engine);
    let module = Module::new(&engine, wasm(SMALL)).unwrap();

    let here = cranelift();
    let error = here.serialize(&module).unwrap_err();
    assert!(
        error.to_string().ends_with("for another machine"),
        "{error}"
    );
    let own = here.compile(&wasm(SMALL)).unwrap();
    assert!(here.serialize(&own).is_ok());
}
