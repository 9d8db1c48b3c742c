//! The two tiers, and the statistics of upgrades between them.

use std::fmt;

use crate::LoaderStats;

/// Which of two engines a module is of.
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

/// What a [`TieredLoader`](crate::TieredLoader) has done since it was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TierStats {
    /// Loads of modules that compile fast.
    pub fast: LoaderStats,
    /// Loads of modules whose code is fast, for callers and in the background.
    pub best: LoaderStats,
    /// Modules whose best code was loaded in the background, and prepared unless no handle waited for it.
    pub upgraded: u64,
    /// How often a module or a handle stayed on the fast tier, because wasm could not be fetched or compiled, or `prepare`
    /// failed.
    pub failed_upgrades: u64,
    /// Modules whose best code is being loaded in the background, or waits for that.
    pub pending_upgrades: u64,
    /// Loads of wasm that the fast engine cannot compile, and that waited for the best one.
    pub without_fast: u64,
}
