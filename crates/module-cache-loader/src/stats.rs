//! Counting where modules came from.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Source;
#[cfg(feature = "metrics")]
use crate::instruments::Instruments;

/// What a loader has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoaderStats {
    /// Loads of modules that were alive in this process.
    pub resident: u64,
    /// Modules that were loaded from a storage.
    pub stored: u64,
    /// Modules that were compiled.
    pub compiled: u64,
    /// Loads that waited for another one of the same module.
    pub coalesced: u64,
    /// Loads that failed.
    pub failed: u64,
    /// Errors of the cache, which cost time and no load.
    pub cache_errors: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    resident: AtomicU64,
    stored: AtomicU64,
    compiled: AtomicU64,
    coalesced: AtomicU64,
    failed: AtomicU64,
    cache_errors: AtomicU64,
    #[cfg(feature = "metrics")]
    pub(crate) instruments: Instruments,
}

impl Counters {
    pub(crate) fn loaded(&self, source: Source) {
        add(match source {
            Source::Resident => &self.resident,
            Source::Stored => &self.stored,
            Source::Compiled => &self.compiled,
        });
        #[cfg(feature = "metrics")]
        self.instruments.loaded(source);
    }

    pub(crate) fn coalesced(&self) {
        add(&self.coalesced);
        #[cfg(feature = "metrics")]
        self.instruments.coalesced();
    }

    pub(crate) fn failed(&self) {
        add(&self.failed);
        #[cfg(feature = "metrics")]
        self.instruments.failed();
    }

    /// Counts an error of the cache and says whether it is the first.
    pub(crate) fn cache_error(&self) -> bool {
        #[cfg(feature = "metrics")]
        self.instruments.cache_error();
        add(&self.cache_errors) == 0
    }

    pub(crate) fn snapshot(&self) -> LoaderStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LoaderStats {
            resident: get(&self.resident),
            stored: get(&self.stored),
            compiled: get(&self.compiled),
            coalesced: get(&self.coalesced),
            failed: get(&self.failed),
            cache_errors: get(&self.cache_errors),
        }
    }
}

fn add(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
