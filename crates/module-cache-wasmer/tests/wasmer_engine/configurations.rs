//! Configurations of wasmer: those that make other code, of which no two may share an entry, and those that do not.

use std::num::NonZero;
use std::ptr::NonNull;
use std::str::FromStr;
use std::sync::Arc;

use module_cache_wasmer::WasmerEngine;
use wasmer::sys::vm::{VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition};
use wasmer::sys::{
    BaseTunables, CompilerConfig, CpuFeature, Cranelift, CraneliftOptLevel, EngineBuilder,
    Features, NativeEngineExt, Singlepass, Target, Triple, Tunables,
};
use wasmer::{Engine, MemoryError, MemoryStyle, MemoryType, Pages, TableStyle, TableType};
use wasmer_middlewares::Metering;

type New = fn() -> Engine;

/// What each is called, the name of its middleware, and how it is made.
pub(crate) const WITH_OTHER_CODE: &[(&str, Option<&str>, New)] = &[
    ("cranelift", None, || cranelift(|_| ())),
    ("no optimization", None, || {
        cranelift(|c| {
            c.opt_level(CraneliftOptLevel::None);
        })
    }),
    ("small code", None, || {
        cranelift(|c| {
            c.opt_level(CraneliftOptLevel::SpeedAndSize);
        })
    }),
    ("canonical NaN", None, || {
        cranelift(|c| {
            c.canonicalize_nans(true);
        })
    }),
    ("unaligned accesses", None, || {
        cranelift(|c| {
            c.allow_experimental_unaligned_memory_accesses(true);
        })
    }),
    #[cfg(unix)]
    ("native artifacts", None, || {
        cranelift(|c| {
            c.experimental_artifact(true);
        })
    }),
    ("position-independent code", None, || {
        cranelift(CompilerConfig::enable_pic)
    }),
    ("canonical NaN without optimization", None, || {
        cranelift(|c| {
            c.canonicalize_nans(true).opt_level(CraneliftOptLevel::None);
        })
    }),
    #[cfg(target_arch = "x86_64")]
    ("the least CPU", None, || {
        target(Triple::host(), &[CpuFeature::SSE2])
    }),
    #[cfg(target_arch = "x86_64")]
    ("a CPU feature more", None, || {
        target(Triple::host(), &[CpuFeature::SSE2, CpuFeature::SSE3])
    }),
    #[cfg(target_arch = "x86_64")]
    ("another CPU feature more", None, || {
        target(Triple::host(), &[CpuFeature::SSE2, CpuFeature::SSSE3])
    }),
    #[cfg(target_arch = "x86_64")]
    ("another ABI", None, || {
        let host = Triple::host();
        let (architecture, system) = (host.architecture, host.operating_system);
        let triple = format!("{architecture}-unknown-{system}-musl");
        target(Triple::from_str(&triple).unwrap(), &[CpuFeature::SSE2])
    }),
    ("default features", None, || features(|_| ())),
    ("no threads", None, || features(|f| f.threads = false)),
    ("no reference types", None, || {
        features(|f| f.reference_types = false)
    }),
    ("no SIMD", None, || features(|f| f.simd = false)),
    ("no bulk memory", None, || {
        features(|f| f.bulk_memory = false)
    }),
    ("no multi-value", None, || {
        features(|f| f.multi_value = false)
    }),
    ("tail calls", None, || features(|f| f.tail_call = true)),
    ("no multi-memory", None, || {
        features(|f| f.multi_memory = false)
    }),
    ("64-bit memory", None, || features(|f| f.memory64 = true)),
    ("exceptions", None, || features(|f| f.exceptions = true)),
    ("relaxed SIMD", None, || features(|f| f.relaxed_simd = true)),
    ("no extended constants", None, || {
        features(|f| f.extended_const = false)
    }),
    ("wide arithmetic", None, || {
        features(|f| f.wide_arithmetic = true)
    }),
    ("no guard pages", None, || guarded(0, |_| true)),
    ("a guard page", None, || guarded(1 << 16, |_| true)),
    ("large memories checked", None, || {
        guarded(1 << 16, |memory| memory.minimum >= Pages(512))
    }),
    ("bounded memories checked", None, || {
        guarded(1 << 16, |memory| {
            memory.maximum.is_some_and(|pages| pages >= Pages(512))
        })
    }),
    ("shared memories checked", None, || {
        guarded(1 << 16, |memory| memory.shared)
    }),
    ("metering", Some("metering"), metered),
    ("another metering", Some("another metering"), metered),
    ("nothing called metering", Some("metering"), || {
        cranelift(|_| ())
    }),
    ("singlepass", None, || singlepass(|_| ())),
    ("singlepass with any NaN", None, || {
        singlepass(|c| {
            c.canonicalize_nans(false);
        })
    }),
    ("singlepass with unaligned accesses", None, || {
        singlepass(|c| {
            c.allow_experimental_unaligned_memory_accesses(true);
        })
    }),
    #[cfg(unix)]
    ("singlepass with native artifacts", None, || {
        singlepass(|c| {
            c.experimental_artifact(true);
        })
    }),
    ("singlepass with metering", Some("metering"), || {
        singlepass(|c| c.push_middleware(Arc::new(Metering::new(1_000_000, |_| 1))))
    }),
    #[cfg(target_arch = "x86_64")]
    ("singlepass without AVX", None, || {
        singlepass_for(&[CpuFeature::SSE42])
    }),
];

/// What each is called, how it is made, and the one that makes the same code.
pub(crate) const WITH_EQUAL_CODE: &[(&str, New, New)] = &[
    (
        "one thread",
        || {
            cranelift(|c| {
                c.num_threads(NonZero::<usize>::MIN);
            })
        },
        || cranelift(|_| ()),
    ),
    (
        "the verifier",
        || cranelift(CompilerConfig::enable_verifier),
        || cranelift(|_| ()),
    ),
    (
        "singlepass on one thread",
        || {
            singlepass(|c| {
                c.num_threads(NonZero::<usize>::MIN);
            })
        },
        || singlepass(|_| ()),
    ),
    (
        "singlepass, which is always position-independent",
        || singlepass(CompilerConfig::enable_pic),
        || singlepass(|_| ()),
    ),
    #[cfg(target_arch = "x86_64")]
    (
        "CPU features that singlepass does not use",
        || singlepass_for(&[CpuFeature::SSE42, CpuFeature::POPCNT, CpuFeature::BMI2]),
        || singlepass_for(&[CpuFeature::SSE42]),
    ),
];

pub(crate) fn engine(engine: &Engine, middleware: Option<&str>) -> WasmerEngine {
    match middleware {
        Some(name) => WasmerEngine::with_middleware(engine, name),
        None => WasmerEngine::without_middleware(engine),
    }
    .unwrap()
}

pub(crate) fn cranelift(change: impl Fn(&mut Cranelift)) -> Engine {
    let mut config = Cranelift::new();
    change(&mut config);
    config.into()
}

pub(crate) fn singlepass(change: impl Fn(&mut Singlepass)) -> Engine {
    let mut config = Singlepass::new();
    change(&mut config);
    config.into()
}

/// Singlepass for a CPU of this machine's kind with these features.
#[cfg(target_arch = "x86_64")]
pub(crate) fn singlepass_for(cpu_features: &[CpuFeature]) -> Engine {
    EngineBuilder::new(Singlepass::new())
        .set_target(Some(Target::new(
            Triple::host(),
            cpu_features.iter().copied().collect(),
        )))
        .into()
}

pub(crate) fn metered() -> Engine {
    cranelift(|c| c.push_middleware(Arc::new(Metering::new(1_000_000, |_| 1))))
}

pub(crate) fn target(triple: Triple, cpu_features: &[CpuFeature]) -> Engine {
    let mut features = CpuFeature::set();
    features.extend(cpu_features);
    EngineBuilder::new(Cranelift::new())
        .set_target(Some(Target::new(triple, features)))
        .into()
}

fn features(change: impl Fn(&mut Features)) -> Engine {
    let mut features = Features::new();
    change(&mut features);
    EngineBuilder::new(Cranelift::new())
        .set_features(Some(features))
        .into()
}

/// An engine whose memories check every access, beyond a guard of this size, where `sized` says so.
pub(crate) fn guarded(offset_guard_size: u64, sized: fn(&MemoryType) -> bool) -> Engine {
    let mut engine = cranelift(|_| ());
    engine.set_tunables(Guarded {
        offset_guard_size,
        sized,
    });
    engine
}

struct Guarded {
    offset_guard_size: u64,
    sized: fn(&MemoryType) -> bool,
}

impl Tunables for Guarded {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        if !(self.sized)(memory) {
            return BaseTunables::new().memory_style(memory);
        }
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
