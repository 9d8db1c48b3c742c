//! Ids: different wherever the code would be, and equal wherever it can be shared.

use std::process::Command;

use module_cache_core::{Artifact, Compile, Engine, EngineId};
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::{Config, WasmBacktraceDetails};

use crate::configurations::{WITH_EQUAL_CODE, WITH_OTHER_CODE};
use crate::kind::{Kind, SMALL, letter};

for_both_kinds![
    what_changes_no_code_changes_no_id,
    what_changes_code_changes_the_id,
    a_clone_is_the_same_engine,
];

fn what_changes_no_code_changes_no_id<K: Kind>() {
    let default = id::<K>(|config| config);
    for (name, change) in WITH_EQUAL_CODE {
        assert_eq!(id::<K>(change), default, "{name}");
    }
}

fn what_changes_code_changes_the_id<K: Kind>() {
    let ids: Vec<_> = WITH_OTHER_CODE
        .iter()
        .map(|(name, change)| (name, id::<K>(change)))
        .collect();
    for (at, (one, first)) in ids.iter().enumerate() {
        for (other, second) in &ids[..at] {
            assert_ne!(first, second, "{one} and {other}");
        }
    }
}

fn a_clone_is_the_same_engine<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let clone = engine.clone();
    assert_eq!(clone.id(), engine.id());
    assert_eq!(clone.instance().id(), engine.instance().id());
    let module = engine.compile(&K::wasm(SMALL)).unwrap();
    assert_eq!(clone.at(&module, 5), letter(5));
}

#[test]
fn an_engine_with_a_given_id_loads_what_the_engine_of_that_id_stored() {
    let compiling = WasmtimeEngine::salted(&wasmtime::Engine::default(), "salt").unwrap();
    // SAFETY: both engines have the default configuration.
    let loading = unsafe { WasmtimeEngine::with_id(&wasmtime::Engine::default(), *compiling.id()) };
    assert_eq!(loading.id(), compiling.id());
    assert_ne!(loading.instance().id(), compiling.instance().id());

    let module = compiling.compile(&WasmtimeEngine::wasm(SMALL)).unwrap();
    let artifact = module.serialize().unwrap();
    let module = loading.load_artifact(Artifact::Bytes(artifact)).unwrap();
    assert_eq!(loading.at(&module, 3), letter(3));
}

#[test]
fn a_salt_makes_an_engine_of_its_own() {
    let engine = wasmtime::Engine::default();
    let salted = |salt| *WasmtimeEngine::salted(&engine, salt).unwrap().id();
    assert_eq!(salted("a"), salted("a"));
    assert_ne!(salted("a"), salted("b"));
    assert_eq!(salted(""), *WasmtimeEngine::new(&engine).unwrap().id());
}

#[test]
fn an_engine_shows_its_id_to_people() {
    let engine = WasmtimeEngine::new(&wasmtime::Engine::default()).unwrap();
    assert_eq!(
        format!("{engine:?}"),
        format!("WasmtimeEngine({})", engine.id())
    );
    assert!(engine.id().label().starts_with("wasmtime-"));
    assert!(engine.id().label().ends_with("-module"));
}

fn id<K: Kind>(change: impl Fn(&mut Config) -> &mut Config) -> EngineId {
    let mut config = Config::new();
    change(&mut config);
    *K::new(&wasmtime::Engine::new(&config).unwrap()).id()
}

#[test]
fn an_environment_that_asks_for_details_of_backtraces_is_another_configuration() {
    const ID: &str = "MODULE_CACHE_TEST_ID";
    if let Some(path) = std::env::var_os(ID) {
        let id = id::<WasmtimeEngine>(|config| config);
        return std::fs::write(path, id.to_string()).unwrap();
    }
    let details = |details| {
        id::<WasmtimeEngine>(move |config| config.wasm_backtrace_details(details)).to_string()
    };
    let dir = tempfile::tempdir().unwrap();
    for (value, expected) in [
        ("1", details(WasmBacktraceDetails::Enable)),
        ("0", details(WasmBacktraceDetails::Disable)),
    ] {
        let path = dir.path().join(value);
        let this_test =
            "identity::an_environment_that_asks_for_details_of_backtraces_is_another_configuration";
        let child = Command::new(std::env::current_exe().unwrap())
            .args([this_test, "--exact"])
            .env(ID, &path)
            .env("WASMTIME_BACKTRACE_DETAILS", value)
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }
}
