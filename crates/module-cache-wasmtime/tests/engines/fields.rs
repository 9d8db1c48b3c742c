//! What differs between two engines is named.

use module_cache_core::Engine;
use module_cache_core::entry::why_unused;
#[cfg(target_arch = "x86_64")]
use module_cache_core::{ArtifactEngine, Compile};
use module_cache_wasmtime::WasmtimeEngine;
#[cfg(target_arch = "x86_64")]
use module_cache_wasmtime::{CpuLevel, EngineBuilder};
use wasmtime::Config;

use crate::configurations::{Change, WITH_OTHER_CODE};
use crate::kind::{Kind, SMALL};

for_both_kinds![
    each_setting_that_changes_code_is_named,
    of_other_bytes_nothing_is_known
];

fn each_setting_that_changes_code_is_named<K: Kind>() {
    let here = K::new(&wasmtime::Engine::default());
    for (name, change) in WITH_OTHER_CODE
        .iter()
        .filter(|(name, _)| *name != "default")
    {
        let why = why_not::<K>(&here, *change);
        assert!(!why.starts_with("all that the code tells"), "{name}: {why}");
        assert!(*name != "another CPU" || why.contains("has_"), "{why}");
    }
    let named: [(Change, &str); 6] = [
        (
            |c| c.consume_fuel(true),
            "consume_fuel is true, and false here",
        ),
        (
            |c| c.epoch_interruption(true),
            "epoch_interruption is true, and false here",
        ),
        (
            |c| c.memory_reservation(1 << 20),
            "memory_reservation is 1048576, and ",
        ),
        (
            |c| c.wasm_tail_call(false),
            "wasm tail_call is false, and true here",
        ),
        (
            |c| c.cranelift_opt_level(wasmtime::OptLevel::None),
            "opt_level is none, and speed here",
        ),
        (
            |c| {
                let strategy = wasmtime::ModuleVersionStrategy::Custom("mine".to_owned());
                c.module_version(strategy).unwrap()
            },
            "module version is mine, and ",
        ),
    ];
    for (change, expected) in named {
        let why = why_not::<K>(&here, change);
        assert!(why.starts_with(expected), "{why}");
    }
}

/// Why code of the default configuration with a change is of no use to `here`.
fn why_not<K: Kind>(here: &K, change: Change) -> String {
    let mut config = Config::new();
    change(&mut config);
    let other = K::new(&wasmtime::Engine::new(&config).unwrap());
    why_unused(here, other.id(), &other.compile_entry(&K::wasm(SMALL)))
}

fn of_other_bytes_nothing_is_known<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let entry = engine.compile_entry(&K::wasm(SMALL));
    assert_eq!(engine.code_fields_of(&entry), engine.code_fields());
    for len in (0..entry.len()).step_by(97) {
        // Whatever is cut off, this ends.
        engine.code_fields_of(&entry[..len]);
    }
    assert!(engine.code_fields_of(b"\x7fELF").is_empty());
}

#[test]
fn a_salt_is_what_remains() {
    let engine = wasmtime::Engine::default();
    let (plain, salted) = (
        WasmtimeEngine::new(&engine).unwrap(),
        WasmtimeEngine::salted(&engine, "mine").unwrap(),
    );
    let entry = salted.compile_entry(&WasmtimeEngine::wasm(SMALL));
    assert_eq!(
        why_unused(&plain, salted.id(), &entry),
        "all that the code tells is as here, so what differs is a salt, or what else only the id covers"
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn of_code_of_a_level_it_is_said_whether_such_is_accepted() {
    let builder = EngineBuilder::new(&Config::new());
    let strict = builder.module_engine().unwrap();
    let host = builder.clone().accept(CpuLevel::X86_64V2).module_engine();
    let compiler = builder.cpu(CpuLevel::X86_64V2).salt("mine");
    let compiler = compiler.module_precompiler(None).unwrap();
    let artifact = compiler.compile(&WasmtimeEngine::wasm(SMALL)).unwrap();
    let artifact = compiler.serialize(&artifact).unwrap();
    let why = why_unused(&host.unwrap(), compiler.id(), &artifact);
    let only = ", which accepts such code of the same settings and salt only; ";
    assert!(why.contains(only), "{why}");
    let why = why_unused(&strict, compiler.id(), &artifact);
    assert!(why.contains(", which does not accept such code; "), "{why}");
    assert!(why.contains("has_avx is false"), "{why}");
}
