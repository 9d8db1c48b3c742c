//! Ids: different wherever the code would be, and equal wherever it can be shared.

use std::num::NonZero;
use std::ptr::NonNull;
use std::str::FromStr;
use std::sync::Arc;

use module_cache_core::{Compile, Engine, EngineId};
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::vm::{VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition};
use wasmer::sys::{
    BaseTunables, CompilerConfig, CpuFeature, Cranelift, CraneliftOptLevel, EngineBuilder,
    Features, NativeEngineExt, Singlepass, Target, Triple, Tunables,
};
use wasmer::{MemoryError, MemoryStyle, MemoryType, TableStyle, TableType};
use wasmer_middlewares::Metering;

use crate::support::{NewEngine, SMALL, at, letter, wasm};

for_each_compiler![equal_engines_have_equal_ids, a_clone_is_the_same_engine];

fn equal_engines_have_equal_ids(new: NewEngine) {
    let (one, other) = (new(), new());
    assert_eq!(one.id(), other.id());
    assert_ne!(one.instance().id(), other.instance().id());
}

fn a_clone_is_the_same_engine(new: NewEngine) {
    let engine = new();
    let clone = engine.clone();
    assert_eq!(clone.id(), engine.id());
    assert_eq!(clone.instance().id(), engine.instance().id());
    let module = engine.compile(&wasm(SMALL)).unwrap();
    assert_eq!(at(&clone, &module, 5), letter(5));
}

#[test]
fn what_changes_no_code_changes_no_id() {
    let default = id(&cranelift(|_| ()));
    let same: [fn(&mut Cranelift); 2] = [
        |c| {
            c.num_threads(NonZero::<usize>::MIN);
        },
        CompilerConfig::enable_verifier,
    ];
    for change in same {
        assert_eq!(id(&cranelift(change)), default);
    }
}

#[test]
fn what_changes_code_changes_the_id() {
    let engines: [(&str, wasmer::Engine); 21] = [
        ("cranelift", cranelift(|_| ())),
        (
            "no optimization",
            cranelift(|c| {
                c.opt_level(CraneliftOptLevel::None);
            }),
        ),
        (
            "small code",
            cranelift(|c| {
                c.opt_level(CraneliftOptLevel::SpeedAndSize);
            }),
        ),
        (
            "canonical NaN",
            cranelift(|c| {
                c.canonicalize_nans(true);
            }),
        ),
        (
            "unaligned accesses",
            cranelift(|c| {
                c.allow_experimental_unaligned_memory_accesses(true);
            }),
        ),
        (
            "native artifacts",
            cranelift(|c| {
                c.experimental_artifact(true);
            }),
        ),
        (
            "position-independent code",
            cranelift(CompilerConfig::enable_pic),
        ),
        ("singlepass", EngineBuilder::new(Singlepass::new()).into()),
        (
            "singlepass with any NaN",
            EngineBuilder::new({
                let mut config = Singlepass::new();
                config.canonicalize_nans(false);
                config
            })
            .into(),
        ),
        ("no CPU feature", target(Triple::host(), &[])),
        ("a CPU feature", target(Triple::host(), &[CpuFeature::SSE2])),
        (
            "another CPU feature",
            target(Triple::host(), &[CpuFeature::NEON]),
        ),
        (
            "both CPU features",
            target(Triple::host(), &[CpuFeature::SSE2, CpuFeature::NEON]),
        ),
        ("another ABI", {
            let host = Triple::host();
            let triple = format!(
                "{}-unknown-{}-musl",
                host.architecture, host.operating_system
            );
            target(Triple::from_str(&triple).unwrap(), &[])
        }),
        ("no threads", features(|f| f.threads = false)),
        ("no SIMD", features(|f| f.simd = false)),
        ("tail calls", features(|f| f.tail_call = true)),
        ("no multi-memory", features(|f| f.multi_memory = false)),
        ("no guard pages", guarded(0)),
        ("a guard page", guarded(1 << 16)),
        ("default features", features(|_| ())),
    ];
    let ids: Vec<_> = engines
        .into_iter()
        .map(|(name, engine)| (name, id(&engine)))
        .collect();
    for one in 0..ids.len() {
        for other in 0..one {
            let ((first, first_id), (second, second_id)) = (ids[other], ids[one]);
            assert_ne!(first_id, second_id, "{first} and {second}");
        }
    }
}

#[test]
fn a_name_and_what_it_names_are_part_of_the_id() {
    let named =
        |engine: &wasmer::Engine, name| *WasmerEngine::with_middleware(engine, name).unwrap().id();
    let (plain, metered) = (cranelift(|_| ()), metered());
    assert_eq!(named(&metered, "a"), named(&self::metered(), "a"));
    assert_ne!(named(&metered, "a"), named(&metered, "b"));
    assert_ne!(named(&metered, "a"), named(&plain, "a"));
    assert_ne!(named(&plain, "a"), id(&plain));
}

#[test]
fn an_engine_that_says_too_little_is_refused_with_what_to_do() {
    let elsewhere = if cfg!(target_arch = "x86_64") {
        "aarch64-unknown-linux-gnu"
    } else {
        "x86_64-unknown-linux-gnu"
    };
    let elsewhere = target(Triple::from_str(elsewhere).unwrap(), &[CpuFeature::SSE2]);
    for (engine, advice) in [
        (metered(), "`with_middleware`"),
        (wasmer::Engine::headless(), "`with_id`"),
        (elsewhere, "use one that compiles for this one"),
    ] {
        let error = WasmerEngine::without_middleware(&engine).unwrap_err();
        assert!(error.to_string().contains(advice), "{error}");
    }
    let error = WasmerEngine::with_middleware(&metered(), "").unwrap_err();
    assert!(error.to_string().contains("empty name"), "{error}");
}

#[test]
fn an_engine_shows_its_id_to_people() {
    for (engine, compiler) in [
        (cranelift(|_| ()), "cranelift"),
        (EngineBuilder::new(Singlepass::new()).into(), "singlepass"),
    ] {
        let engine = WasmerEngine::without_middleware(&engine).unwrap();
        let shown = format!("{engine:?}");
        assert_eq!(shown, format!("WasmerEngine({})", engine.id()));
        let label = engine.id().label();
        let version = label
            .strip_prefix("wasmer-7.")
            .and_then(|rest| rest.strip_suffix(&format!("-{compiler}")));
        assert!(version.is_some(), "{label}");
    }
}

fn id(engine: &wasmer::Engine) -> EngineId {
    *WasmerEngine::without_middleware(engine).unwrap().id()
}

fn cranelift(change: impl Fn(&mut Cranelift)) -> wasmer::Engine {
    let mut config = Cranelift::new();
    change(&mut config);
    config.into()
}

fn metered() -> wasmer::Engine {
    cranelift(|c| c.push_middleware(Arc::new(Metering::new(0, |_| 1))))
}

fn target(triple: Triple, cpu_features: &[CpuFeature]) -> wasmer::Engine {
    let mut features = CpuFeature::set();
    features.extend(cpu_features);
    EngineBuilder::new(Cranelift::new())
        .set_target(Some(Target::new(triple, features)))
        .into()
}

fn features(change: impl Fn(&mut Features)) -> wasmer::Engine {
    let mut features = Features::new();
    change(&mut features);
    EngineBuilder::new(Cranelift::new())
        .set_features(Some(features))
        .into()
}

fn guarded(offset_guard_size: u64) -> wasmer::Engine {
    let mut engine = cranelift(|_| ());
    engine.set_tunables(Guarded { offset_guard_size });
    engine
}

/// Memories that check every access beyond a guard of some size; all else as usual.
struct Guarded {
    offset_guard_size: u64,
}

impl Tunables for Guarded {
    fn memory_style(&self, _: &MemoryType) -> MemoryStyle {
        MemoryStyle::Dynamic {
            offset_guard_size: self.offset_guard_size,
        }
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        BaseTunables::new().table_style(table)
    }

    fn create_host_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
    ) -> Result<VMMemory, MemoryError> {
        BaseTunables::new().create_host_memory(ty, style)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        location: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { BaseTunables::new().create_vm_memory(ty, style, location) }
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        BaseTunables::new().create_host_table(ty, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        location: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { BaseTunables::new().create_vm_table(ty, style, location) }
    }
}
