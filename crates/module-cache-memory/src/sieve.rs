//! SIEVE (Zhang et al., NSDI'24): which module leaves when room is needed, and what is there by weight.
//!
//! Both caches keep their modules in maps of their own and this beside them. It knows keys and weights,
//! not modules, and is not thread-safe.
//!
//! Modules stand in a queue in the order in which they came. A hand walks from the oldest to the newest
//! and over again: it clears the visited bit of a module that was hit since it last came by, and evicts
//! the first one that was not. A pinned module stands outside of the queue, so the hand never meets it.

use module_cache_core::{CacheStats, SkipReason};

use crate::key::Key;

/// The place of a module in a [`Sieve`], for as long as it is there.
pub(crate) type Slot = usize;

/// The queue, the hand and the accounts.
#[derive(Debug)]
pub(crate) struct Sieve {
    /// Slots are used again: a list in a slab allocates nothing once it has grown.
    nodes: Vec<Node>,
    free: Vec<Slot>,
    newest: Option<Slot>,
    oldest: Option<Slot>,
    /// Where the hand goes on; it starts over at the oldest.
    hand: Option<Slot>,
    max_weight: u64,
    weight: u64,
    pinned_weight: u64,
    stats: CacheStats,
}

#[derive(Debug)]
struct Node {
    key: Key,
    weight: u64,
    pinned: bool,
    newer: Option<Slot>,
    older: Option<Slot>,
}

impl Sieve {
    pub(crate) fn new(max_weight: u64) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            newest: None,
            oldest: None,
            hand: None,
            max_weight,
            weight: 0,
            pinned_weight: 0,
            stats: CacheStats::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    pub(crate) fn weight(&self) -> u64 {
        self.weight
    }

    pub(crate) fn max_weight(&self) -> u64 {
        self.max_weight
    }

    /// What was saved, skipped and evicted.
    pub(crate) fn stats(&self) -> CacheStats {
        self.stats
    }

    /// Says whether evictions can make room for a module.
    pub(crate) fn admit(&mut self, weight: u64) -> Result<(), SkipReason> {
        let outcome = if weight > self.max_weight {
            Err(SkipReason::TooLarge)
        } else if weight > self.max_weight - self.pinned_weight {
            Err(SkipReason::NoSpace)
        } else {
            Ok(())
        };
        self.stats.skipped += u64::from(outcome.is_err());
        outcome
    }

    /// Takes out what has to leave before an admitted module of `weight` has room; `None` once it has.
    ///
    /// `take_visited` clears a module's visited bit and says whether it was set.
    pub(crate) fn evict_for(
        &mut self,
        weight: u64,
        mut take_visited: impl FnMut(&Key) -> bool,
    ) -> Option<Key> {
        if self.weight <= self.max_weight - weight {
            return None;
        }
        // One round clears every bit. Threads that hit may set them as fast as that, so after a round
        // the hand takes what it points at.
        for _ in 0..self.len() {
            let slot = self.hand.or(self.oldest)?;
            if !take_visited(&self.nodes[slot].key) {
                break;
            }
            self.hand = self.nodes[slot].newer;
        }
        let slot = self.hand.or(self.oldest)?;
        self.remove(slot);
        self.stats.evictions += 1;
        Some(self.nodes[slot].key)
    }

    /// Adds an admitted module, for which there is room.
    pub(crate) fn push(&mut self, key: Key, weight: u64) -> Slot {
        let node = Node {
            key,
            weight,
            pinned: false,
            newer: None,
            older: None,
        };
        let slot = if let Some(slot) = self.free.pop() {
            self.nodes[slot] = node;
            slot
        } else {
            self.nodes.push(node);
            self.nodes.len() - 1
        };
        self.link(slot);
        self.weight += weight;
        self.stats.saves += 1;
        self.stats.bytes_saved = self.stats.bytes_saved.saturating_add(weight);
        slot
    }

    pub(crate) fn remove(&mut self, slot: Slot) {
        self.unpin(slot);
        self.unlink(slot);
        self.weight -= self.nodes[slot].weight;
        self.free.push(slot);
    }

    /// Takes a module out of the queue, if it is in there.
    pub(crate) fn pin(&mut self, slot: Slot) {
        if !self.nodes[slot].pinned {
            self.unlink(slot);
            self.nodes[slot].pinned = true;
            self.pinned_weight += self.nodes[slot].weight;
        }
    }

    /// Puts a module back into the queue, as the newest, and says whether it was pinned.
    pub(crate) fn unpin(&mut self, slot: Slot) -> bool {
        let was_pinned = self.nodes[slot].pinned;
        if was_pinned {
            self.nodes[slot].pinned = false;
            self.pinned_weight -= self.nodes[slot].weight;
            self.link(slot);
        }
        was_pinned
    }

    /// Forgets all modules and keeps the statistics.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            stats: self.stats,
            ..Self::new(self.max_weight)
        };
    }

    fn link(&mut self, slot: Slot) {
        self.nodes[slot].newer = None;
        self.nodes[slot].older = self.newest;
        match self.newest {
            Some(newest) => self.nodes[newest].newer = Some(slot),
            None => self.oldest = Some(slot),
        }
        self.newest = Some(slot);
    }

    fn unlink(&mut self, slot: Slot) {
        let Node { newer, older, .. } = self.nodes[slot];
        match newer {
            Some(newer) => self.nodes[newer].older = older,
            None => self.newest = older,
        }
        match older {
            Some(older) => self.nodes[older].newer = newer,
            None => self.oldest = newer,
        }
        if self.hand == Some(slot) {
            self.hand = newer;
        }
    }
}

#[cfg(test)]
mod tests {
    use module_cache_core::ModuleHash;
    use module_cache_testkit::TestEngine;

    use super::*;

    fn keys(count: u8) -> Vec<Key> {
        let engine = TestEngine::new("sieve");
        (0..count)
            .map(|n| Key::new(ModuleHash::from_bytes([n; 32]), &engine))
            .collect()
    }

    #[test]
    fn it_evicts_although_every_bit_is_set_as_fast_as_it_is_cleared() {
        let keys = keys(4);
        let mut sieve = Sieve::new(3);
        for key in &keys[..3] {
            sieve.push(*key, 1);
        }
        let mut steps = 0;
        let evicted = sieve.evict_for(1, |_| {
            steps += 1;
            true
        });
        assert_eq!((evicted, steps), (Some(keys[0]), 3));
    }

    #[test]
    fn slots_are_used_again() {
        let keys = keys(100);
        let mut sieve = Sieve::new(3);
        for key in keys {
            while sieve.evict_for(1, |_| false).is_some() {}
            sieve.push(key, 1);
        }
        assert_eq!((sieve.len(), sieve.nodes.len()), (3, 3));
    }

    #[test]
    fn modules_without_weight_leave_only_to_make_room_for_others() {
        let keys = keys(3);
        let mut sieve = Sieve::new(1);
        sieve.push(keys[0], 0);
        assert_eq!(sieve.evict_for(1, |_| false), None);
        sieve.push(keys[1], 1);
        assert_eq!(sieve.evict_for(0, |_| false), None);
        sieve.push(keys[2], 0);
        assert_eq!(sieve.evict_for(1, |_| false), Some(keys[0]));
        assert_eq!(sieve.evict_for(1, |_| false), Some(keys[1]));
        assert_eq!(sieve.evict_for(1, |_| false), None);
    }
}
