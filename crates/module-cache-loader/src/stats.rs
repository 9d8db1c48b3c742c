//! Counters of where modules came from.

use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::per_thread::{ThreadCounter, ThreadSlot};

use crate::Source;

/// What a loader has done since it was created.
///
/// Each load of a [`ModuleLoader`](crate::ModuleLoader) counts once: a resident one as `resident`, one that joined another as
/// `coalesced`, and any other as `stored`, `compiled` or `failed`. A load that joined another and got its error also counts
/// as `failed`. One of a [`TieredLoader`](crate::TieredLoader) may count for both tiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoaderStats {
    /// Loads of modules that were alive in this process.
    pub resident: u64,
    /// Modules that the cache had, stored by an earlier compilation.
    pub stored: u64,
    /// Modules that were compiled.
    pub compiled: u64,
    /// Loads that joined another one of the same module.
    pub coalesced: u64,
    /// Loads whose caller got an error.
    pub failed: u64,
    /// Loads of wasm that the engine had refused before, and that were not compiled again; each counts as `failed`, too.
    pub known_invalid: u64,
    /// Errors of the cache, which cost time and do not fail a load.
    pub cache_errors: u64,
}

/// The counters of one loader. Loads that are not resident take microseconds at least, and share a counter.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// An atomic that all threads write would take longer than the rest of a hit.
    resident: ThreadCounter,
    stored: AtomicU64,
    compiled: AtomicU64,
    coalesced: AtomicU64,
    failed: AtomicU64,
    known_invalid: AtomicU64,
    cache_errors: AtomicU64,
}

impl Counters {
    #[inline]
    pub(crate) fn resident(&self) {
        self.resident.add_one(ThreadSlot::current());
    }

    /// Counts a load that somebody led.
    pub(crate) fn loaded(&self, source: Source) {
        match source {
            Source::Resident => self.resident(),
            Source::Stored => drop(add(&self.stored)),
            Source::Compiled => drop(add(&self.compiled)),
        }
    }

    pub(crate) fn coalesced(&self) {
        add(&self.coalesced);
    }

    pub(crate) fn failed(&self) {
        add(&self.failed);
    }

    /// A load that counts as failed, and whose caller gets no error, because it is tried again.
    pub(crate) fn tried_again(&self) {
        self.failed.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn known_invalid(&self) {
        add(&self.known_invalid);
    }

    /// Counts an error of the cache and says whether it is the first.
    pub(crate) fn cache_error(&self) -> bool {
        add(&self.cache_errors) == 0
    }

    pub(crate) fn snapshot(&self) -> LoaderStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LoaderStats {
            resident: self.resident.sum(),
            stored: get(&self.stored),
            compiled: get(&self.compiled),
            coalesced: get(&self.coalesced),
            failed: get(&self.failed),
            known_invalid: get(&self.known_invalid),
            cache_errors: get(&self.cache_errors),
        }
    }
}

fn add(counter: &AtomicU64) -> u64 {
    counter.fetch_add(1, Ordering::Relaxed)
}
