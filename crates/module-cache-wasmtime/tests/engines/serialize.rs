//! Serializing: the same artifact however the module came here, and never a module of somebody else.

use crate::kind::{Kind, LARGE, SMALL, artifact, entry_in_file};

for_both_kinds![
    a_module_loaded_from_a_file_gives_the_artifact_it_was_loaded_from,
    compiling_twice_gives_equal_artifacts,
    a_module_of_another_engine_of_equal_id_is_refused,
];

fn a_module_loaded_from_a_file_gives_the_artifact_it_was_loaded_from<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    for data_len in [SMALL, LARGE] {
        let entry = engine.compile_entry(&K::wasm(data_len));
        let module = engine.load(entry_in_file(&path, &entry)).unwrap();
        assert!(engine.serialize(&module).unwrap() == artifact(&entry));
        // After it has run, too.
        engine.at(&module, 1);
        assert!(engine.serialize(&module).unwrap() == artifact(&entry));
    }
}

fn compiling_twice_gives_equal_artifacts<K: Kind>() {
    let wasm = K::wasm(SMALL);
    let entry = || K::new(&wasmtime::Engine::default()).compile_entry(&wasm);
    assert!(entry() == entry());
}

fn a_module_of_another_engine_of_equal_id_is_refused<K: Kind>() {
    let one = K::new(&wasmtime::Engine::default());
    let other = K::new(&wasmtime::Engine::default());
    assert_eq!(one.id(), other.id());
    assert_ne!(one.instance().id(), other.instance().id());

    let wasm = K::wasm(SMALL);
    let module = one.compile(&wasm).unwrap();
    let error = other.serialize(&module).unwrap_err();
    assert!(error.to_string().ends_with("belongs to another engine"));
    assert!(one.clone().serialize(&module).is_ok());

    // What one stored, the other loads and calls its own.
    let dir = tempfile::tempdir().unwrap();
    let entry = one.compile_entry(&wasm);
    let loaded = other.load(entry_in_file(&dir.path().join("entry"), &entry));
    assert!(other.serialize(&loaded.unwrap()).unwrap() == artifact(&entry));
}
