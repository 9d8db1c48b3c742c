//! Named sets of CPU features, for code that several kinds of CPUs can run.
//!
//! Each is complete: it names all that code may use. "What this CPU has, but for some" changes with each version of
//! wasmer that knows one feature more.

use std::fmt;

use wasmer::sys::{Architecture, CpuFeature, Target, Triple};

/// A set of CPU features that code is compiled for, named as in compilers of other languages. There are none for other
/// architectures than x86-64, because wasmer does not distinguish CPUs there. There is none for all CPUs of x86-64: without
/// SSE4.1, wasmer's Cranelift panics at instructions that shuffle the bytes of a vector, which leaves an engine unusable,
/// and its code rounds signalling NaNs to signalling NaNs, against the specification of WebAssembly.
///
/// ```
/// use module_cache_wasmer::{CpuLevel, WasmerEngine};
/// use wasmer::sys::{Cranelift, EngineBuilder};
///
/// # #[cfg(target_arch = "x86_64")] {
/// let compiler = EngineBuilder::new(Cranelift::new()).set_target(Some(CpuLevel::X86_64V2.target()));
/// let compiler = WasmerEngine::without_middleware(&compiler.into())?;
///
/// let host = WasmerEngine::without_middleware(&Cranelift::new().into())?.accept(CpuLevel::X86_64V2);
/// # use module_cache_core::Engine;
/// assert_eq!(host.accepted_ids(), [*compiler.id()]);
/// # }
/// # Ok::<(), module_cache_core::EngineError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CpuLevel {
    /// AVX2, FMA, BMI1, BMI2 and LZCNT beside those of [`X86_64V2`](Self::X86_64V2): Intel since Haswell, AMD since
    /// Excavator.
    X86_64V3,
    /// SSE4.2 and POPCNT beside the baseline: Intel since Nehalem, AMD since Bulldozer.
    X86_64V2,
}

impl CpuLevel {
    /// All levels, the one with the most features first.
    pub const ALL: &[Self] = &[Self::X86_64V3, Self::X86_64V2];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64V3 => "x86-64-v3",
            Self::X86_64V2 => "x86-64-v2",
        }
    }

    /// The target of an engine that compiles for all CPUs of this level
    /// ([`EngineBuilder::set_target`](wasmer::sys::EngineBuilder::set_target)), with the system and ABI of this machine.
    pub fn target(self) -> Target {
        // As in the psABI of x86-64; what is not here, such as MOVBE, wasmer neither knows nor uses.
        let mut features = CpuFeature::SSE2 | CpuFeature::SSE3 | CpuFeature::SSSE3;
        features |= CpuFeature::SSE41 | CpuFeature::SSE42 | CpuFeature::POPCNT;
        if self == Self::X86_64V3 {
            features |= CpuFeature::AVX | CpuFeature::AVX2 | CpuFeature::FMA;
            features |= CpuFeature::BMI1 | CpuFeature::BMI2 | CpuFeature::LZCNT;
        }
        let mut triple = Triple::host();
        triple.architecture = Architecture::X86_64;
        Target::new(triple, features)
    }
}

impl fmt::Display for CpuLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
