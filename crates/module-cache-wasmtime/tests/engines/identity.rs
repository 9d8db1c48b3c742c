//! Ids: different wherever the code would be, and equal wherever it can be shared.

use module_cache_core::{Artifact, Compile, Engine, EngineId};
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::{Config, ModuleVersionStrategy, OptLevel};

use crate::kind::{Kind, SMALL, letter};

for_both_kinds![
    what_changes_no_code_changes_no_id,
    what_changes_code_changes_the_id,
    a_clone_is_the_same_engine,
];

fn what_changes_no_code_changes_no_id<K: Kind>() {
    let default = id::<K>(|config| config);
    let same: [fn(&mut Config) -> &mut Config; 3] = [
        |config| config,
        |config| config.parallel_compilation(false),
        |config| config.max_wasm_stack(256 * 1024),
    ];
    for change in same {
        assert_eq!(id::<K>(change), default);
    }
}

fn what_changes_code_changes_the_id<K: Kind>() {
    type Change = fn(&mut Config) -> &mut Config;
    let changes: &[(&str, Change)] = &[
        ("default", |c| c),
        ("no optimization", |c| c.cranelift_opt_level(OptLevel::None)),
        ("small code", |c| {
            c.cranelift_opt_level(OptLevel::SpeedAndSize)
        }),
        ("canonical NaN", |c| c.cranelift_nan_canonicalization(true)),
        ("a CPU feature off", no_cpu_feature),
        ("a cranelift flag", |c| {
            // SAFETY: this engine only computes its id.
            unsafe { c.cranelift_flag_set("machine_code_cfg_info", "true") }
        }),
        ("another CPU", |c| {
            // A named target has its least features, where the host is asked for its own.
            let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
            c.target(&target).unwrap()
        }),
        ("fuel", |c| c.consume_fuel(true)),
        ("epochs", |c| c.epoch_interruption(true)),
        ("debug information", |c| c.debug_info(true)),
        ("no address map", |c| c.generate_address_map(false)),
        ("traps without signals", |c| c.signals_based_traps(false)),
        ("memory reservation", |c| c.memory_reservation(1 << 20)),
        ("room to grow", |c| c.memory_reservation_for_growth(1 << 20)),
        ("guard size", |c| c.memory_guard_size(1 << 20)),
        ("no guard in front", |c| c.guard_before_linear_memory(false)),
        ("fixed memory", |c| c.memory_may_move(false)),
        ("no images of memory", |c| c.memory_init_cow(false)),
        ("tables filled at once", |c| c.table_lazy_init(false)),
        ("no relaxed SIMD", |c| c.wasm_relaxed_simd(false)),
        ("no SIMD", |c| c.wasm_relaxed_simd(false).wasm_simd(false)),
        ("deterministic SIMD", |c| c.relaxed_simd_deterministic(true)),
        ("no tail calls", |c| c.wasm_tail_call(false)),
        ("no multi-value", |c| c.wasm_multi_value(false)),
        ("no multi-memory", |c| c.wasm_multi_memory(false)),
        ("no 64-bit memory", |c| c.wasm_memory64(false)),
        ("no extended constants", |c| c.wasm_extended_const(false)),
        ("wide arithmetic", |c| c.wasm_wide_arithmetic(true)),
        ("custom page sizes", |c| c.wasm_custom_page_sizes(true)),
        ("a named version", |c| named_version(c, "a")),
        ("another named version", |c| named_version(c, "b")),
    ];
    let ids: Vec<EngineId> = changes.iter().map(|(_, change)| id::<K>(change)).collect();
    for one in 0..ids.len() {
        for other in 0..one {
            let (first, second) = (changes[other].0, changes[one].0);
            assert_ne!(ids[other], ids[one], "{first} and {second}");
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

fn named_version<'c>(config: &'c mut Config, version: &str) -> &'c mut Config {
    config
        .module_version(ModuleVersionStrategy::Custom(version.to_owned()))
        .unwrap()
}

fn no_cpu_feature(config: &mut Config) -> &mut Config {
    let flag = if cfg!(target_arch = "x86_64") {
        "has_avx"
    } else {
        "has_lse"
    };
    // SAFETY: this engine only computes its id.
    unsafe { config.cranelift_flag_set(flag, "false") }
}
