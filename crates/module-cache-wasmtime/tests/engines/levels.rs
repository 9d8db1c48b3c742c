//! CPU levels: code that one machine compiles for others, and who loads it.

#[cfg(target_arch = "x86_64")]
use module_cache_core::Artifact;
use module_cache_core::{ArtifactEngine, Compile, Engine, ModuleCache, ModuleHash, StoreCache};
use module_cache_testkit::ReferenceStore;
use module_cache_wasmtime::{CpuLevel, EngineBuilder, WasmtimeEngine, WasmtimePrecompiler};
use wasmtime::{Config, Instance, Store};

use crate::kind::{Kind, LARGE, SMALL, letter};

for_both_kinds![
    code_of_each_level_is_loaded_by_a_native_engine_and_runs,
    code_of_a_level_is_not_stored_under_the_id_of_the_host,
    a_folder_that_one_level_was_compiled_for_serves_all_engines_that_accept_it,
];

/// The levels that the machine of these tests has, the best first.
const LEVELS: &[CpuLevel] = if cfg!(target_arch = "x86_64") {
    &[CpuLevel::X86_64V3, CpuLevel::X86_64V2, CpuLevel::X86_64]
} else {
    &[CpuLevel::Aarch64]
};

/// What lies in a cache.
type Cache = StoreCache<ReferenceStore>;

fn builder() -> EngineBuilder {
    EngineBuilder::new(&Config::new())
}

/// An engine that accepts all levels.
fn host<K: Kind>() -> K {
    let all = CpuLevel::ALL.iter();
    K::build(&all.fold(builder(), |builder, level| builder.accept(*level)))
}

fn compiler<K: Kind>(level: CpuLevel) -> WasmtimePrecompiler {
    K::precompiler(&builder().cpu(level), None)
}

fn fill<E: ArtifactEngine + Compile>(cache: &Cache, engine: &E, wasm: &[u8]) {
    let module = engine.compile(wasm).unwrap();
    let saved = cache.save(ModuleHash::of(wasm), engine, &module).unwrap();
    assert!(saved.is_stored());
}

fn code_of_each_level_is_loaded_by_a_native_engine_and_runs<K: Kind>() {
    let host = host::<K>();
    let ids: Vec<_> = LEVELS
        .iter()
        .map(|level| *compiler::<K>(*level).id())
        .collect();
    assert_eq!(host.accepted_ids(), ids);
    for data_len in [SMALL, LARGE] {
        let wasm = K::wasm(data_len);
        for (level, id) in LEVELS.iter().zip(&ids) {
            let cache = StoreCache(ReferenceStore::new());
            fill(&cache, &compiler::<K>(*level), &wasm);
            let found = cache.find(ModuleHash::of(&wasm), &host).unwrap().unwrap();
            assert_eq!(found.accepted_id.as_ref(), Some(id));
            assert_eq!(host.at(&found.module, 7), letter(7));
        }
    }
}

fn code_of_a_level_is_not_stored_under_the_id_of_the_host<K: Kind>() {
    let (host, wasm) = (host::<K>(), K::wasm(LARGE));
    let cache = StoreCache(ReferenceStore::new());
    fill(&cache, &compiler::<K>(*LEVELS.last().unwrap()), &wasm);
    let module = cache.load(ModuleHash::of(&wasm), &host).unwrap().unwrap();
    let error = host.serialize(&module).unwrap_err();
    assert!(error.to_string().contains("accepted id"), "{error}");

    // Its own is, compiled or loaded.
    fill(&cache, &host, &wasm);
    let found = cache.find(ModuleHash::of(&wasm), &host).unwrap().unwrap();
    assert!(found.accepted_id.is_none());
    assert_eq!(
        *host.serialize(&found.module).unwrap(),
        *host.serialize(&host.compile(&wasm).unwrap()).unwrap()
    );
}

#[test]
fn another_adapter_of_the_engine_does_not_store_code_of_a_level_either() {
    let (host, wasm) = (host::<WasmtimeEngine>(), WasmtimeEngine::wasm(SMALL));
    let cache = StoreCache(ReferenceStore::new());
    let level = *LEVELS.last().unwrap();
    fill(&cache, &compiler::<WasmtimeEngine>(level), &wasm);
    let module = cache.load(ModuleHash::of(&wasm), &host).unwrap().unwrap();
    let sibling = WasmtimeEngine::new(host.engine()).unwrap();
    assert_eq!(sibling.id(), host.id());
    let error = sibling.serialize(&module).unwrap_err();
    assert!(error.to_string().contains("accepted id"), "{error}");
    fill(&cache, &sibling, &wasm);
}

#[test]
fn a_target_whose_levels_are_not_known_is_an_error() {
    for target in [
        "aarch64_be-unknown-linux-gnu",
        "riscv64gc-unknown-linux-gnu",
        "nonsense",
        // Under ids that no program has.
        "aarch64",
        "aarch64-unknown-linux",
        "x86_64-pc-linux-gnu",
    ] {
        assert!(
            builder().module_precompiler(Some(target)).is_err(),
            "{target}"
        );
    }
}

/// With wasmtime's feature, which the workspace turns on and a release line does not, it works.
#[test]
fn another_architecture_names_the_feature_that_it_needs() {
    let other = if cfg!(target_arch = "x86_64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    };
    if let Err(error) = builder().module_precompiler(Some(other)) {
        assert!(error.to_string().contains("`all-arch`"), "{error}");
    }
}

/// The level is compiled once; an engine that is configured for the baseline runs it where the CPU can, and where it was
/// told to.
fn a_folder_that_one_level_was_compiled_for_serves_all_engines_that_accept_it<K: Kind>() {
    let (cache, wasm) = (StoreCache(ReferenceStore::new()), K::wasm(SMALL));
    let level = LEVELS[LEVELS.len() / 2];
    fill(&cache, &compiler::<K>(level), &wasm);
    for own in LEVELS {
        let strict = builder().cpu(*own);
        let accepting = strict.clone().accept(level);
        let loads = |builder: &EngineBuilder| {
            let engine = K::build(builder);
            let module = cache.load(ModuleHash::of(&wasm), &engine).unwrap();
            module.map(|module| engine.at(&module, 3))
        };
        let its_own = (*own == level).then(|| letter(3));
        assert_eq!(loads(&strict), its_own, "{own}");
        assert_eq!(loads(&accepting), Some(letter(3)), "{own}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn code_for_v3_is_a_miss_on_a_cpu_that_lacks_one_of_its_features() {
    macro_rules! without {
        ($($feature:literal),*) => {
            [$(($feature, {
                fn detect(feature: &str) -> Option<bool> {
                    Some(feature != $feature)
                }
                detect as fn(&str) -> Option<bool>
            })),*]
        };
    }
    let wasm = WasmtimeEngine::wasm(SMALL);
    let [v3, v2, baseline] = [LEVELS[0], LEVELS[1], LEVELS[2]].map(compiler::<WasmtimeEngine>);
    for (feature, detect) in without!(
        "avx2",
        "avx",
        "fma",
        "bmi1",
        "bmi2",
        "lzcnt",
        "sse4.2",
        "sse4.1",
        "ssse3",
        "sse3",
        "popcnt",
        "cmpxchg16b"
    ) {
        let mut masked = Config::new();
        // The engine compiles for the baseline, as wasmtime looks at the real CPU when nothing is said.
        masked
            .target(&target_lexicon::Triple::host().to_string())
            .unwrap();
        // SAFETY: of what is there, less is used.
        unsafe { masked.detect_host_feature(detect) };
        let builder = LEVELS
            .iter()
            .fold(EngineBuilder::new(&masked), |builder, level| {
                builder.accept(*level)
            });
        let host = builder.module_engine().unwrap();
        let of_v2 =
            ["sse4.2", "sse4.1", "ssse3", "sse3", "popcnt", "cmpxchg16b"].contains(&feature);
        let expected = if of_v2 {
            vec![*baseline.id()]
        } else {
            vec![*v2.id(), *baseline.id()]
        };
        assert_eq!(host.accepted_ids(), expected, "without {feature}");

        let made = EngineBuilder::new(&masked)
            .cpu(CpuLevel::X86_64V3)
            .module_engine();
        assert!(made.unwrap_err().to_string().contains("this CPU"));

        let cache = StoreCache(ReferenceStore::new());
        fill(&cache, &v3, &wasm);
        assert!(cache.load(ModuleHash::of(&wasm), &host).unwrap().is_none());
        assert_eq!(cache.0.rejections(), 0, "it is not even looked for");
        fill(&cache, &baseline, &wasm);
        let module = cache.load(ModuleHash::of(&wasm), &host).unwrap().unwrap();
        assert_eq!(host.at(&module, 3), letter(3));

        // Nor would wasmtime run it.
        let artifact = v3
            .serialize(&v3.compile(&wasm).unwrap())
            .unwrap()
            .into_owned();
        let error = host.load_artifact(Artifact::Bytes(artifact)).unwrap_err();
        assert!(
            crate::kind::chain(&error).contains("not available on the host"),
            "{error}"
        );
    }
}

#[test]
fn a_level_of_another_configuration_or_architecture_is_not_accepted() {
    let mut fuel = Config::new();
    fuel.consume_fuel(true);
    let fuel = EngineBuilder::new(&fuel).cpu(LEVELS[0]);
    let strangers = [
        fuel.module_precompiler(None).unwrap(),
        builder()
            .cpu(LEVELS[0])
            .salt("salt")
            .module_precompiler(None)
            .unwrap(),
        builder()
            .cpu(LEVELS[0])
            .component_precompiler(None)
            .unwrap(),
    ];
    let host = host::<WasmtimeEngine>();
    for stranger in &strangers {
        assert!(
            !host.accepted_ids().contains(stranger.id()),
            "{}",
            stranger.id()
        );
    }

    let other = if cfg!(target_arch = "x86_64") {
        CpuLevel::Aarch64
    } else {
        CpuLevel::X86_64
    };
    let engine = builder().accept(other).module_engine().unwrap();
    assert!(engine.accepted_ids().is_empty());
    let error = builder().cpu(other).module_precompiler(None).unwrap_err();
    assert!(error.to_string().contains("no such CPU level"), "{error}");
}

#[test]
fn an_engine_that_accepts_levels_has_the_id_of_one_that_does_not() {
    let plain = WasmtimeEngine::new(&wasmtime::Engine::default()).unwrap();
    assert_eq!(host::<WasmtimeEngine>().id(), plain.id());
    assert!(plain.accepted_ids().is_empty());
}

/// The pool takes more than half of the addresses that a process has.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn levels_are_accepted_beside_the_largest_pool() {
    let mut pool = wasmtime::PoolingAllocationConfig::default();
    pool.total_memories(18_000).total_core_instances(18_000);
    let mut config = Config::new();
    config.allocation_strategy(wasmtime::InstanceAllocationStrategy::Pooling(pool));
    let accepting = EngineBuilder::new(&config).accept(CpuLevel::X86_64);
    let engine = accepting.module_engine().unwrap();
    assert_eq!(engine.accepted_ids().len(), 1);
    let compiler = EngineBuilder::new(&Config::new()).cpu(CpuLevel::X86_64);
    let compiler = compiler.module_precompiler(None).unwrap();
    assert_eq!(engine.accepted_ids(), [*compiler.id()]);
    let pool = accepting.module_engine();
    assert!(pool.is_err(), "there is room for two pools");
}

#[test]
fn the_label_shows_level_and_system() {
    for level in LEVELS {
        let id = *compiler::<WasmtimeEngine>(*level).id();
        let end = if cfg!(target_env = "gnu") {
            "linux-gnu"
        } else {
            std::env::consts::OS
        };
        assert!(id.label().contains(&format!("-module-{level}-")), "{id}");
        assert!(
            !cfg!(target_os = "linux") || id.label().ends_with(end),
            "{id}"
        );
    }
    // Where nothing is said, it is what all CPUs of the target have.
    let least = builder().module_precompiler(None).unwrap();
    assert_eq!(
        least.id(),
        compiler::<WasmtimeEngine>(*LEVELS.last().unwrap()).id()
    );
}

#[test]
fn every_level_has_a_name_that_names_it() {
    for level in CpuLevel::ALL {
        assert_eq!(level.to_string().parse::<CpuLevel>().unwrap(), *level);
    }
    let error = "x86-64-v9".parse::<CpuLevel>().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("x86-64-v3, x86-64-v2, x86-64, aarch64"),
        "{error}"
    );
}

/// Arithmetic, SIMD, bit counting, rounding and atomics, for which each level has instructions of its own.
#[test]
fn results_are_equal_at_every_level() {
    let wasm = wat::parse_str(
        r#"(module
          (memory 1)
          (func (export "mix") (param $x i64) (param $f f64) (result i64)
            (local $v v128)
            (local.set $v (i64x2.splat (local.get $x)))
            (local.set $v (i8x16.popcnt (i8x16.add (local.get $v) (i8x16.shuffle
              15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 (local.get $v) (local.get $v)))))
            (local.set $v (i32x4.mul (local.get $v) (i32x4.splat (i32.wrap_i64 (local.get $x)))))
            (local.set $v (v128.xor (local.get $v) (f64x2.nearest (f64x2.splat (local.get $f)))))
            (local.set $v (v128.xor (local.get $v) (i64x2.shr_s (local.get $v) (i32.const 3))))
            (i64.add
              (i64.xor (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))
              (i64.xor
                (i64.add (i64.popcnt (local.get $x)) (i64.clz (local.get $x)))
                (i64.add
                  (i64.rotl (i64.ctz (local.get $x)) (local.get $x))
                  (i64.reinterpret_f64 (f64.add
                    (f64.floor (f64.mul (local.get $f) (f64.const 1.7)))
                    (f64.trunc (f64.sqrt (f64.abs (local.get $f)))))))))))"#,
    )
    .unwrap();
    let host = host::<WasmtimeEngine>();
    let results = |module: &wasmtime::Module| -> Vec<i64> {
        let mut store = Store::new(host.engine(), ());
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let mix = instance
            .get_typed_func::<(i64, f64), i64>(&mut store, "mix")
            .unwrap();
        let mut x = 1_i64;
        (0..1000)
            .map(|_| {
                x = x
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                #[expect(clippy::cast_precision_loss, reason = "any number does")]
                mix.call(&mut store, (x, x as f64 / 1e9)).unwrap()
            })
            .collect()
    };
    let native = results(&host.compile(&wasm).unwrap());
    for level in LEVELS {
        let cache = StoreCache(ReferenceStore::new());
        fill(&cache, &compiler::<WasmtimeEngine>(*level), &wasm);
        let module = cache.load(ModuleHash::of(&wasm), &host).unwrap().unwrap();
        assert_eq!(results(&module), native, "{level}");
    }
}
