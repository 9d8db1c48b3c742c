//! Which modules a cache has, what they weigh, which of them are pinned, and what was done.
//!
//! Both caches keep their modules in maps of their own and this beside them. It knows keys and weights,
//! not modules, and is not thread-safe. Which module leaves is for [`Eviction`] to say, to which pinned
//! modules are as if they were not there, nor the room that they take.

use module_cache_core::{CacheStats, SkipReason};

use crate::eviction::Eviction;
use crate::key::{Key, KeyMap};

/// The accounts of a cache.
#[derive(Debug)]
pub(crate) struct Stock {
    max_weight: u64,
    /// With their weights.
    pinned: KeyMap<u64>,
    pinned_weight: u64,
    others: Eviction,
    stats: CacheStats,
}

impl Stock {
    pub(crate) fn new(max_weight: u64) -> Self {
        Self {
            max_weight,
            pinned: KeyMap::default(),
            pinned_weight: 0,
            others: Eviction::new(max_weight),
            stats: CacheStats::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.pinned.len() + self.others.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.pinned_weight + self.others.weight()
    }

    pub(crate) fn max_weight(&self) -> u64 {
        self.max_weight
    }

    /// What was saved, skipped and evicted.
    pub(crate) fn stats(&self) -> CacheStats {
        self.stats
    }

    /// Adds a module, unless it is there or has no room, and returns those that leave for it.
    ///
    /// `take_visited` clears a module's visited bit and says whether it was set.
    pub(crate) fn save(
        &mut self,
        key: Key,
        weight: u64,
        take_visited: impl FnMut(&Key) -> bool,
    ) -> Result<Vec<Key>, SkipReason> {
        if self.pinned.contains_key(&key) || self.others.contains(&key) {
            return Err(SkipReason::AlreadyStored);
        }
        if weight > self.room() {
            self.stats.skipped += 1;
            return Err(if weight > self.max_weight {
                SkipReason::TooLarge
            } else {
                SkipReason::NoSpace
            });
        }
        let evicted = self.others.insert(key, weight, take_visited);
        self.stats.evictions += evicted.len() as u64;
        self.stats.saves += 1;
        self.stats.bytes_saved = self.stats.bytes_saved.saturating_add(weight);
        Ok(evicted)
    }

    /// Forgets a module, pinned or not, that may be there.
    pub(crate) fn remove(&mut self, key: &Key) {
        if self.take_pinned(key).is_none() {
            self.others.remove(key);
        }
    }

    /// Keeps a module from being evicted, and says whether it is there.
    pub(crate) fn pin(&mut self, key: &Key) -> bool {
        if let Some(weight) = self.others.remove(key) {
            self.pinned.insert(*key, weight);
            self.pinned_weight += weight;
            self.others.set_room(self.room());
        }
        self.pinned.contains_key(key)
    }

    /// Lets a module be evicted again, as if it came now, and says whether it was pinned.
    pub(crate) fn unpin(&mut self, key: &Key, take_visited: impl FnMut(&Key) -> bool) -> bool {
        let Some(weight) = self.take_pinned(key) else {
            return false;
        };
        let evicted = self.others.insert(*key, weight, take_visited);
        debug_assert!(evicted.is_empty(), "it was there, and so was its room");
        true
    }

    /// Forgets all modules and keeps the statistics.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            stats: self.stats,
            ..Self::new(self.max_weight)
        };
    }

    fn take_pinned(&mut self, key: &Key) -> Option<u64> {
        let weight = self.pinned.remove(key)?;
        self.pinned_weight -= weight;
        self.others.set_room(self.room());
        Some(weight)
    }

    /// The room that pinned modules leave.
    fn room(&self) -> u64 {
        self.max_weight - self.pinned_weight
    }
}
