//! The two tiers, and what became of the way from one to the other.

use std::fmt;

use crate::LoaderStats;

/// Which of two engines made a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tier {
    /// The one that compiles fast.
    Fast,
    /// The one whose code is fast.
    Best,
}

impl Tier {
    /// One lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Best => "best",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What a [`TieredLoader`](crate::TieredLoader) has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Loads of modules that compile fast.
    pub fast: LoaderStats,
    /// Loads of modules whose code is fast: for callers, and behind them.
    pub best: LoaderStats,
    /// Modules that were loaded behind those who use the fast one, and that at least one of them could prepare.
    pub upgraded: u64,
    /// Modules that stayed on fast, because best could not be fetched or compiled, or because each `prepare` failed.
    pub failed_upgrades: u64,
    /// Modules that are on their way, or wait for that.
    pub pending_upgrades: u64,
    /// Loads of wasm that fast does not compile, and that waited for best.
    pub without_fast: u64,
}
