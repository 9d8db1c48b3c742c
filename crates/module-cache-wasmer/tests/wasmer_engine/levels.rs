//! CPU levels: code that one machine compiles for others, and who loads it.

use module_cache_core::format::strip_footer;
use module_cache_core::{
    Artifact, ArtifactEngine, Compile, Engine, ModuleCache, ModuleHash, StoreCache,
};
use module_cache_testkit::ReferenceStore;
use module_cache_wasmer::{CpuLevel, WasmerEngine};
use wasmer::sys::{
    CompilerConfig, CpuFeature, Cranelift, CraneliftOptLevel, EngineBuilder, Singlepass, Target,
    Triple,
};
use wasmer::{Instance, Module, Store, TypedFunction, imports};

use crate::support::{
    LARGE, SMALL, at, chain, compile_entry, cranelift, letter, load_artifact, wasm,
};

/// What lies in a cache.
type Cache = StoreCache<ReferenceStore>;

/// A way to configure a compiler.
struct Kind(fn() -> Box<dyn CompilerConfig>);

const CRANELIFT: Kind = Kind(|| Box::new(Cranelift::new()));
const SINGLEPASS: Kind = Kind(|| Box::new(Singlepass::new()));

/// Those of which levels are accepted.
const KINDS: &[Kind] = &[
    CRANELIFT,
    #[cfg(unix)]
    Kind(|| {
        let mut config = Cranelift::new();
        config.experimental_artifact(true);
        Box::new(config)
    }),
];

impl Kind {
    fn engine(&self, target: Target) -> WasmerEngine {
        let engine = EngineBuilder::new((self.0)()).set_target(Some(target));
        WasmerEngine::without_middleware(&engine.into()).unwrap()
    }

    fn compiler(&self, level: CpuLevel) -> WasmerEngine {
        self.engine(level.target())
    }

    fn host(&self) -> WasmerEngine {
        accept_all(self.engine(Target::default()))
    }
}

fn accept_all(engine: WasmerEngine) -> WasmerEngine {
    let levels = CpuLevel::ALL.iter();
    levels.fold(engine, |engine, level| engine.accept(*level))
}

fn fill(cache: &Cache, engine: &WasmerEngine, wasm: &[u8]) {
    let module = engine.compile(wasm).unwrap();
    let saved = cache.save(ModuleHash::of(wasm), engine, &module).unwrap();
    assert!(saved.is_stored());
}

fn is_here(level: CpuLevel) -> bool {
    CpuFeature::for_host().is_superset(*level.target().cpu_features())
}

#[test]
fn code_of_each_level_is_loaded_by_a_native_engine_and_runs() {
    for kind in KINDS {
        let host = kind.host();
        let levels: Vec<_> = CpuLevel::ALL
            .iter()
            .filter(|level| is_here(**level))
            .collect();
        let mut ids: Vec<_> = levels
            .iter()
            .map(|level| *kind.compiler(**level).id())
            .collect();
        // A CPU may have the features of a level and no others.
        ids.retain(|id| id != host.id());
        assert_eq!(host.accepted_ids(), ids);
        for data_len in [SMALL, LARGE] {
            let wasm = wasm(data_len);
            for level in &levels {
                let (cache, compiler) = (StoreCache(ReferenceStore::new()), kind.compiler(**level));
                fill(&cache, &compiler, &wasm);
                let found = cache.find(ModuleHash::of(&wasm), &host).unwrap().unwrap();
                let id = (compiler.id() != host.id()).then_some(compiler.id());
                assert_eq!(found.accepted_id.as_ref(), id);
                assert_eq!(at(&host, &found.module, 7), letter(7));
            }
        }
    }
}

#[test]
fn code_of_a_level_is_not_stored_under_the_id_of_the_host() {
    let wasm = wasm(SMALL);
    for kind in KINDS {
        let cache = StoreCache(ReferenceStore::new());
        let Some(level) = CpuLevel::ALL.iter().rfind(|level| is_here(**level)) else {
            continue; // A machine of another architecture.
        };
        fill(&cache, &kind.compiler(*level), &wasm);
        let host = kind.host();
        let module = cache.load(ModuleHash::of(&wasm), &host).unwrap().unwrap();
        // Another adapter of the engine does not store it either.
        let sibling = WasmerEngine::without_middleware(host.engine()).unwrap();
        assert_eq!(sibling.id(), host.id());
        for engine in [&host, &sibling] {
            let error = engine.serialize(&module).unwrap_err();
            assert!(error.to_string().contains("CPU features"), "{error}");
        }
        // Its own is, compiled or loaded.
        fill(&cache, &host, &wasm);
        let found = cache.find(ModuleHash::of(&wasm), &host).unwrap().unwrap();
        assert!(found.accepted_id.is_none());
        assert!(
            host.serialize(&found.module).unwrap()
                == host.serialize(&host.compile(&wasm).unwrap()).unwrap()
        );
    }
}

#[test]
fn an_engine_that_accepts_levels_is_another_one_of_the_same_id() {
    let plain = cranelift();
    let accepting = accept_all(plain.clone());
    assert_eq!(accepting.id(), plain.id());
    assert_ne!(accepting.instance().id(), plain.instance().id());
    assert!(plain.accepted_ids().is_empty());
}

/// The level is compiled once; an engine of any of them runs it where the CPU can, and where it was told to.
#[test]
fn a_folder_that_one_level_was_compiled_for_serves_all_engines_that_accept_it() {
    let wasm = wasm(SMALL);
    let kind = &CRANELIFT;
    let levels: Vec<_> = CpuLevel::ALL
        .iter()
        .filter(|level| is_here(**level))
        .collect();
    for compiled in &levels {
        let cache = StoreCache(ReferenceStore::new());
        fill(&cache, &kind.compiler(**compiled), &wasm);
        for (at_level, own) in levels.iter().enumerate() {
            let strict = kind.compiler(**own);
            let loads = |engine: &WasmerEngine| {
                let module = cache.load(ModuleHash::of(&wasm), engine).unwrap();
                module.map(|module| at(engine, &module, 3))
            };
            let expected = |is_found: bool| is_found.then(|| letter(3));
            assert_eq!(loads(&strict), expected(own == compiled), "{own}");
            let accepting = accept_all(strict);
            let reaches = levels[at_level..].contains(compiled);
            assert_eq!(loads(&accepting), expected(reaches), "{compiled} by {own}");
        }
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn code_of_a_level_is_a_miss_for_an_engine_that_lacks_one_of_its_features() {
    let wasm = wasm(SMALL);
    for kind in KINDS {
        for feature in *CpuLevel::X86_64V3.target().cpu_features() {
            if feature == CpuFeature::SSE2 {
                continue; // Everything has it.
            }
            let lacks = |level: CpuLevel| level.target().cpu_features().contains(feature);
            let masked = CpuFeature::for_host().difference(feature.into());
            let host = kind.engine(Target::new(Triple::host(), masked));
            let expected: Vec<_> = CpuLevel::ALL
                .iter()
                .filter(|level| is_here(**level))
                .filter(|level| !lacks(**level))
                .map(|level| *kind.compiler(*level).id())
                .collect();
            let host = accept_all(host);
            assert_eq!(host.accepted_ids(), expected, "without {feature}");

            let cache = StoreCache(ReferenceStore::new());
            let v3 = kind.compiler(CpuLevel::X86_64V3);
            fill(&cache, &v3, &wasm);
            assert!(cache.load(ModuleHash::of(&wasm), &host).unwrap().is_none());
            assert_eq!(cache.0.rejections(), 0, "it is not even looked for");
        }
    }
}

/// Nor would wasmer load it.
#[test]
#[cfg(target_arch = "x86_64")]
fn wasmer_refuses_code_of_a_level_where_a_feature_is_missing() {
    let kind = &CRANELIFT;
    let entry = compile_entry(&kind.compiler(CpuLevel::X86_64V3), &wasm(SMALL));
    for feature in *CpuLevel::X86_64V3.target().cpu_features() {
        let masked = CpuFeature::for_host().difference(feature.into());
        let host = kind.engine(Target::new(Triple::host(), masked | CpuFeature::SSE2));
        let artifact = Artifact::Bytes(strip_footer(&entry).to_vec());
        let loaded = load_artifact(&host, artifact);
        if feature == CpuFeature::SSE2 {
            assert_eq!(loaded.is_ok(), is_here(CpuLevel::X86_64V3));
        } else {
            let error = loaded.unwrap_err();
            assert!(chain(&error).contains("CPU Features"), "{}", chain(&error));
        }
    }
}

#[test]
fn a_level_of_another_configuration_is_not_accepted() {
    let other = |change: fn(&mut Cranelift), middleware: Option<&str>| {
        let mut config = Cranelift::new();
        change(&mut config);
        let engine = EngineBuilder::new(config).set_target(Some(CpuLevel::X86_64V2.target()));
        crate::configurations::engine(&engine.into(), middleware)
    };
    if !cfg!(target_arch = "x86_64") {
        let error =
            EngineBuilder::new(Cranelift::new()).set_target(Some(CpuLevel::X86_64V2.target()));
        assert!(WasmerEngine::without_middleware(&error.into()).is_err());
        assert!(CRANELIFT.host().accepted_ids().is_empty());
        return;
    }
    let host = CRANELIFT.host();
    assert!(host.accepted_ids().contains(other(|_| (), None).id()));
    for stranger in [
        other(|c| _ = c.opt_level(CraneliftOptLevel::None), None),
        other(|c| _ = c.canonicalize_nans(true), None),
        other(|_| (), Some("named")),
        SINGLEPASS.compiler(CpuLevel::X86_64V2),
    ] {
        assert!(!host.accepted_ids().contains(stranger.id()), "{stranger:?}");
    }
}

#[test]
fn an_engine_whose_id_was_computed_elsewhere_accepts_no_level() {
    let engine = cranelift();
    // SAFETY: it is the id of this engine.
    let loading = unsafe { WasmerEngine::with_id(engine.engine(), *engine.id()) };
    assert!(accept_all(loading).accepted_ids().is_empty());
}

/// Bit counting, rounding, SIMD, shuffles and signalling NaNs, for which each level has instructions of its own.
#[test]
fn results_are_equal_at_every_level() {
    let simd = "
        (local $v v128)
        (local.set $v (i64x2.splat (local.get $x)))
        (local.set $v (i32x4.mul (local.get $v) (i32x4.splat (i32.wrap_i64 (local.get $x)))))
        (local.set $v (v128.xor (local.get $v) (f64x2.nearest (f64x2.splat (local.get $f)))))
        (local.set $v (v128.xor (local.get $v) (i64x2.shr_s (local.get $v) (i32.const 3))))
        (i64.xor (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))";
    for body in [SCALAR, simd, SHUFFLE, SIGNALLING] {
        let wasm = mix(body);
        for kind in KINDS {
            let host = kind.host();
            let native = results(&host, &host.compile(&wasm).unwrap());
            for level in CpuLevel::ALL.iter().filter(|level| is_here(**level)) {
                let cache = StoreCache(ReferenceStore::new());
                fill(&cache, &kind.compiler(*level), &wasm);
                let module = cache.load(ModuleHash::of(&wasm), &host).unwrap().unwrap();
                assert_eq!(results(&host, &module), native, "{level}");
            }
        }
    }
}

const SCALAR: &str = "
    (i64.add
      (i64.add (i64.popcnt (local.get $x)) (i64.clz (local.get $x)))
      (i64.add
        (i64.rotl (i64.ctz (local.get $x)) (local.get $x))
        (i64.reinterpret_f64 (f64.add
          (f64.floor (f64.mul (local.get $f) (f64.const 1.7)))
          (f64.trunc (f64.sqrt (f64.abs (local.get $f))))))))";

const SHUFFLE: &str = "
    (local $v v128)
    (local.set $v (i64x2.splat (local.get $x)))
    (local.set $v (i8x16.popcnt (i8x16.add (local.get $v) (i8x16.shuffle
      15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0 (local.get $v) (local.get $v)))))
    (i64.xor (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))";

/// Whether rounding makes a quiet NaN of a signalling one, as it has to.
const SIGNALLING: &str = "
    (local $nan f64)
    (local.set $nan (f64.reinterpret_i64 (i64.or (i64.const 0x7ff0000000000001)
      (i64.and (local.get $x) (i64.const 0x8007ffffffffffff)))))
    (i64.and (i64.const 0x0008000000000000)
      (i64.and
        (i64.and
          (i64.reinterpret_f64 (f64.trunc (local.get $nan)))
          (i64.reinterpret_f64 (f64.ceil (local.get $nan))))
        (i64.and
          (i64.reinterpret_f64 (f64.floor (local.get $nan)))
          (i64x2.extract_lane 0 (f64x2.nearest (f64x2.splat (local.get $nan)))))))";

fn mix(body: &str) -> Vec<u8> {
    let text = format!(
        "(module (func (export \"mix\") (param $x i64) (param $f f64) (result i64) {body}))"
    );
    wat::parse_str(text).unwrap()
}

/// What `mix` returns for many numbers.
fn results(host: &WasmerEngine, module: &Module) -> Vec<i64> {
    let mut store = Store::new(host.engine().clone());
    let instance = Instance::new(&mut store, module, &imports! {}).unwrap();
    let mix: TypedFunction<(i64, f64), i64> =
        instance.exports.get_typed_function(&store, "mix").unwrap();
    let mut x = 1_i64;
    (0..1000)
        .map(|_| {
            x = x
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            #[expect(clippy::cast_precision_loss, reason = "any number does")]
            mix.call(&mut store, x, x as f64 / 1e9).unwrap()
        })
        .collect()
}

/// Were it right some day, the baseline of x86-64 could be a level.
#[test]
#[cfg(target_arch = "x86_64")]
fn cranelift_makes_wrong_code_without_sse41() {
    let baseline = || CRANELIFT.engine(Target::new(Triple::host(), CpuFeature::SSE2.into()));
    let quiet = |engine: &WasmerEngine| {
        let module = engine.compile(&mix(SIGNALLING)).unwrap();
        results(engine, &module).iter().all(|bit| *bit != 0)
    };
    assert!(quiet(&CRANELIFT.compiler(CpuLevel::X86_64V2)));
    assert!(!quiet(&baseline()));
    // wasmer has no function for shuffles, which cranelift calls.
    let error = baseline().compile(&mix(SHUFFLE)).unwrap_err();
    assert!(chain(&error).contains("Unsupported libcall"), "{error}");
}

/// Were it right some day, x86-64-v2 could be accepted.
#[test]
#[cfg(target_arch = "x86_64")]
fn singlepass_makes_wrong_code_without_avx_and_accepts_no_level() {
    let wasm = mix(SCALAR);
    let results = |kind: &Kind, level| {
        let engine = kind.compiler(level);
        results(&engine, &engine.compile(&wasm).unwrap())
    };
    let right = results(&CRANELIFT, CpuLevel::X86_64V2);
    assert_eq!(results(&SINGLEPASS, CpuLevel::X86_64V3), right);
    assert_ne!(results(&SINGLEPASS, CpuLevel::X86_64V2), right);
    assert!(SINGLEPASS.host().accepted_ids().is_empty());
    // All CPUs of that level have one id.
    let v3 = SINGLEPASS.compiler(CpuLevel::X86_64V3);
    assert_eq!(SINGLEPASS.host().id(), v3.id());
}
