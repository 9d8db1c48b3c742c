//! Named sets of CPU features, for code that several kinds of CPUs can run.
//!
//! Each is complete: it names all that code may use. "What this CPU has, but for some" changes with each version of
//! wasmtime that knows one feature more.

use std::fmt;
use std::str::FromStr;

use module_cache_core::EngineError;
use target_lexicon::{Aarch64Architecture, Architecture, Triple};

/// A set of CPU features that code is compiled for, named as in compilers of other languages.
///
/// ```
/// use module_cache_wasmtime::CpuLevel;
///
/// let level: CpuLevel = "x86-64-v3".parse()?;
/// assert_eq!(level, CpuLevel::X86_64V3);
/// # Ok::<(), module_cache_core::EngineError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CpuLevel {
    /// AVX2, FMA, BMI1, BMI2 and LZCNT beside those of [`X86_64V2`](Self::X86_64V2): Intel since Haswell, AMD since
    /// Excavator.
    X86_64V3,
    /// SSE4.2, POPCNT and `cmpxchg16b` beside the baseline: Intel since Nehalem, AMD since Bulldozer.
    X86_64V2,
    /// The baseline: all 64-bit CPUs of Intel and AMD.
    X86_64,
    /// The baseline: all 64-bit CPUs of Arm.
    Aarch64,
}

impl CpuLevel {
    /// All levels; those of one architecture with the most features first.
    pub const ALL: &[Self] = &[Self::X86_64V3, Self::X86_64V2, Self::X86_64, Self::Aarch64];

    /// Its name, as the command's `--cpu` takes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86_64V3 => "x86-64-v3",
            Self::X86_64V2 => "x86-64-v2",
            Self::X86_64 => "x86-64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The level that all CPUs of a target have, if it is one whose levels are known.
    pub(crate) fn baseline(target: &Triple) -> Option<Self> {
        [Self::X86_64, Self::Aarch64]
            .into_iter()
            .find(|level| level.is_of(target))
    }

    pub(crate) fn is_of(self, target: &Triple) -> bool {
        match self {
            Self::X86_64V3 | Self::X86_64V2 | Self::X86_64 => {
                target.architecture == Architecture::X86_64
            }
            Self::Aarch64 => {
                target.architecture == Architecture::Aarch64(Aarch64Architecture::Aarch64)
            }
        }
    }

    /// The flags of cranelift that it has on. Without any, cranelift uses nothing but the baseline.
    pub(crate) const fn flags(self) -> &'static [&'static str] {
        // As in the psABI of x86-64; what is not here, such as MOVBE, cranelift does not use.
        match self {
            Self::X86_64V3 => &[
                "has_sse3",
                "has_ssse3",
                "has_sse41",
                "has_sse42",
                "has_popcnt",
                "has_cmpxchg16b",
                "has_avx",
                "has_avx2",
                "has_fma",
                "has_bmi1",
                "has_bmi2",
                "has_lzcnt",
            ],
            Self::X86_64V2 => &[
                "has_sse3",
                "has_ssse3",
                "has_sse41",
                "has_sse42",
                "has_popcnt",
                "has_cmpxchg16b",
            ],
            Self::X86_64 | Self::Aarch64 => &[],
        }
    }
}

impl fmt::Display for CpuLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for CpuLevel {
    type Err = EngineError;

    fn from_str(name: &str) -> Result<Self, EngineError> {
        let level = Self::ALL.iter().find(|level| level.as_str() == name);
        level.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|level| level.as_str()).collect();
            EngineError::refused(&format!("not a CPU level; there are {}", names.join(", ")))
        })
    }
}
