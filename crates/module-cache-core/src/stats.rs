//! Counting what a cache does, so that an operator sees when it does not work.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a cache has done since it was made. A cache that counts returns one from its `stats()`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheStats {
    /// Loads that found the module.
    pub hits: u64,
    /// Loads that did not find the module, for any reason.
    pub misses: u64,
    /// Modules that were stored.
    pub saves: u64,
    /// Saves that were skipped, other than for being stored already.
    pub skipped: u64,
    /// Entries that were found damaged. A folder deletes them if it can, a remote cache replaces them.
    pub corrupt: u64,
    /// Entries that could not be used, though nothing proves them damaged: of another module, engine, key, format or owner,
    /// unreadable, or refused by the engine. They stay.
    pub rejected: u64,
    /// Calls in which the cache itself could not work.
    pub errors: u64,
    /// Modules or entries that were evicted to make room.
    pub evictions: u64,
    /// Bytes that were stored.
    pub bytes_saved: u64,
}

/// The counters behind a [`CacheStats`], for backends. Threads share them; they use relaxed atomics and are never reset.
///
/// ```
/// use module_cache_core::Counters;
///
/// let counters = Counters::default();
/// counters.hit();
/// assert_eq!(counters.snapshot().hits, 1);
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    saves: AtomicU64,
    skipped: AtomicU64,
    corrupt: AtomicU64,
    rejected: AtomicU64,
    errors: AtomicU64,
    evictions: AtomicU64,
    bytes_saved: AtomicU64,
}

impl Counters {
    /// Counts a load that found its module.
    pub fn hit(&self) {
        add(&self.hits, 1);
    }

    /// Counts a load that did not find its module.
    pub fn miss(&self) {
        add(&self.misses, 1);
    }

    /// Counts a module stored in `bytes` bytes.
    pub fn saved(&self, bytes: u64) {
        add(&self.saves, 1);
        add(&self.bytes_saved, bytes);
    }

    /// Counts a save that was skipped.
    pub fn skip(&self) {
        add(&self.skipped, 1);
    }

    /// Counts a damaged entry.
    pub fn corrupt(&self) {
        add(&self.corrupt, 1);
    }

    /// Counts an entry that could not be used.
    pub fn reject(&self) {
        add(&self.rejected, 1);
    }

    /// Counts a call that failed.
    pub fn error(&self) {
        add(&self.errors, 1);
    }

    /// Counts an eviction.
    pub fn evict(&self) {
        add(&self.evictions, 1);
    }

    /// The current numbers. They are not an atomic snapshot, because other threads go on counting.
    pub fn snapshot(&self) -> CacheStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            hits: get(&self.hits),
            misses: get(&self.misses),
            saves: get(&self.saves),
            skipped: get(&self.skipped),
            corrupt: get(&self.corrupt),
            rejected: get(&self.rejected),
            errors: get(&self.errors),
            evictions: get(&self.evictions),
            bytes_saved: get(&self.bytes_saved),
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
