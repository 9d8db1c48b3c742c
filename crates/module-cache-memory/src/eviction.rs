//! Which module leaves when room is needed: an adaptive cache (Subramanian, Smaragdakis and Loh, *Adaptive
//! Caches: Effective Shaping of Cache Behavior to Workloads*, MICRO 2006) of LRU and W-TinyLFU.
//!
//! Beside what is there, two shadows keep lists of what would be there if one policy were alone. Whenever a
//! request would have been a hit for one and not for the other, that one gains on the other; and what leaves
//! is a module that the one in the lead would not hold.
//!
//! A request is either a miss, which is seen, or a hit, which is not: it only sets the visited bit that its
//! module has in the cache. With every module that comes, some of those bits are read, and what they say is
//! told to the shadows then. Two hits between two looks count as one, which both policies hold alike.

mod counts;
mod list;
mod lru;
mod shadow;
mod tiny_lfu;

use crate::key::{Key, KeyMap};
use list::{List, Slot, index};
use lru::Lru;
use shadow::Shadow;
use tiny_lfu::TinyLfu;

/// The modules that are there and may be evicted, and what is remembered of others. It knows keys and
/// weights, not modules, and is not thread-safe.
#[derive(Debug)]
pub(crate) struct Eviction {
    room: u64,
    nodes: Vec<Node>,
    free: Vec<Slot>,
    slots: KeyMap<Slot>,
    /// The modules that are there; what was looked at longest ago comes first.
    present: List,
    /// Those that were evicted and are remembered.
    evicted: List,
    lru: Shadow<Lru>,
    tiny_lfu: Shadow<TinyLfu>,
    leader: Leader,
    /// By how many requests it leads.
    lead: usize,
}

#[derive(Debug)]
struct Node {
    key: Key,
    weight: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    Lru,
    TinyLfu,
}

/// How many modules have their bits read for each that comes. All of them are, then, while an eighth of them
/// is replaced.
const LOOKS: usize = 8;

/// How many modules are remembered for each that is there.
const MEMORY: usize = 8;

impl Eviction {
    pub(crate) fn new(room: u64) -> Self {
        Self {
            room,
            nodes: Vec::new(),
            free: Vec::new(),
            slots: KeyMap::default(),
            present: List::default(),
            evicted: List::default(),
            lru: Shadow::new(Lru::new(room)),
            tiny_lfu: Shadow::new(TinyLfu::new(room)),
            leader: Leader::TinyLfu,
            lead: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.present.len()
    }

    /// What the modules weigh together.
    pub(crate) fn weight(&self) -> u64 {
        let weight = u64::try_from(self.present.weight());
        weight.unwrap_or_else(|_| unreachable!("it is at most the room"))
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        let slot = self.slots.get(key);
        slot.is_some_and(|slot| self.present.contains(*slot))
    }

    /// Adds a module that is not there and is no heavier than the room, and returns those that must leave
    /// for it.
    ///
    /// `take_visited` clears a module's visited bit and says whether it was set: never that of one that is
    /// not there.
    pub(crate) fn insert(
        &mut self,
        key: Key,
        weight: u64,
        take_visited: impl FnMut(&Key) -> bool,
    ) -> Vec<Key> {
        self.replay_hits(take_visited);
        let slot = self.slot(key, weight);
        self.touch(slot);
        let mut victims = Vec::new();
        while self.present.weight() + u128::from(weight) > u128::from(self.room) {
            victims.push(self.evict());
        }
        self.evicted.remove(slot);
        self.present.push(slot, weight);
        self.forget_the_oldest();
        victims
    }

    /// Forgets a module, and returns its weight if it was there.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<u64> {
        let slot = *self.slots.get(key)?;
        let weight = self.present.remove(slot)?;
        self.forget(slot);
        Some(weight)
    }

    /// Changes the room, to what is there at least.
    pub(crate) fn set_room(&mut self, room: u64) {
        self.room = room;
        let is_there = |slot| self.present.contains(slot);
        self.lru.set_room(room, is_there);
        self.tiny_lfu.set_room(room, is_there);
    }

    /// Tells the shadows of hits, as far as it looks.
    fn replay_hits(&mut self, mut take_visited: impl FnMut(&Key) -> bool) {
        for _ in 0..LOOKS.min(self.present.len()) {
            if let Some(slot) = self.present.oldest() {
                self.present.push(slot, self.nodes[index(slot)].weight);
                if take_visited(&self.nodes[index(slot)].key) {
                    self.touch(slot);
                }
            }
        }
        // What would leave next may have been hit since it was looked at.
        for _ in 0..LOOKS {
            match self.next() {
                Some(slot) if take_visited(&self.nodes[index(slot)].key) => self.touch(slot),
                _ => break,
            }
        }
    }

    /// The slot of a module that comes, perhaps again.
    fn slot(&mut self, key: Key, weight: u64) -> Slot {
        let node = Node { key, weight };
        let slot = self.slots.get(&key).copied().or_else(|| self.free.pop());
        let slot = slot.unwrap_or_else(|| self.new_slot());
        if let Some(known) = self.nodes.get_mut(index(slot)) {
            *known = node;
        } else {
            self.nodes.push(node);
        }
        self.slots.insert(key, slot);
        slot
    }

    fn new_slot(&self) -> Slot {
        let slot = Slot::try_from(self.nodes.len());
        slot.unwrap_or_else(|_| unreachable!("no memory holds as many keys"))
    }

    /// Tells the shadows of a request, and sees which would have had a hit.
    fn touch(&mut self, slot: Slot) {
        match (self.lru.holds(slot), self.tiny_lfu.holds(slot)) {
            (true, false) => self.gains(Leader::Lru),
            (false, true) => self.gains(Leader::TinyLfu),
            _ => {}
        }
        let weight = self.nodes[index(slot)].weight;
        let is_there = |slot| self.present.contains(slot);
        self.lru.touch(slot, weight, is_there);
        self.tiny_lfu.touch(slot, weight, is_there);
    }

    fn gains(&mut self, policy: Leader) {
        // Enough that chance does not decide, and little enough to follow a change.
        let most = (self.present.len() * 3 / 100).max(8);
        if self.leader == policy {
            self.lead = (self.lead + 1).min(most);
        } else if self.lead > 0 {
            self.lead -= 1;
        } else {
            self.leader = policy;
        }
    }

    /// What would leave if another came, as far as that can be said before. It may be gone already.
    fn next(&self) -> Option<Slot> {
        match self.leader {
            Leader::Lru => self.lru.next(),
            Leader::TinyLfu => self.tiny_lfu.next(),
        }
    }

    fn surplus(&self) -> Option<Slot> {
        match self.leader {
            Leader::Lru => self.lru.surplus(),
            Leader::TinyLfu => self.tiny_lfu.surplus(),
        }
    }

    fn evict(&mut self) -> Key {
        // Both shadows hold the module that comes, and have no more room than there is. So what is there
        // and does not fit beside it, no shadow can hold as a whole.
        let victim = self
            .surplus()
            .unwrap_or_else(|| unreachable!("a shadow holds more than it has room for"));
        self.present.remove(victim);
        self.evicted.push(victim, 0);
        self.lru.evict(victim);
        self.tiny_lfu.evict(victim);
        self.nodes[index(victim)].key
    }

    fn forget_the_oldest(&mut self) {
        while self.evicted.len() > MEMORY * self.present.len()
            && let Some(oldest) = self.evicted.oldest()
        {
            self.evicted.remove(oldest);
            self.forget(oldest);
        }
    }

    fn forget(&mut self, slot: Slot) {
        self.lru.forget(slot);
        self.tiny_lfu.forget(slot);
        self.slots.remove(&self.nodes[index(slot)].key);
        self.free.push(slot);
    }
}

#[cfg(test)]
mod tests {
    use module_cache_core::ModuleHash;
    use module_cache_testkit::TestEngine;

    use super::*;

    fn keys(count: u16) -> Vec<Key> {
        let engine = TestEngine::new("eviction");
        (0..count)
            .map(|n| Key::new(ModuleHash::of(&n.to_le_bytes()), &engine))
            .collect()
    }

    #[test]
    fn it_evicts_although_every_bit_is_set_as_fast_as_it_is_cleared() {
        let mut eviction = Eviction::new(3);
        for key in keys(100) {
            let mut looks = 0;
            let evicted = eviction.insert(key, 1, |_| {
                looks += 1;
                true
            });
            assert!(evicted.len() <= 1 && looks <= 2 * LOOKS);
        }
        assert_eq!(eviction.len(), 3);
    }

    #[test]
    fn the_lead_is_lost_as_slowly_as_it_was_gained_and_is_bounded() {
        let mut eviction = Eviction::new(3);
        for _ in 0..100 {
            eviction.gains(Leader::TinyLfu);
        }
        for _ in 0..8 {
            eviction.gains(Leader::Lru);
            assert_eq!(eviction.leader, Leader::TinyLfu);
        }
        eviction.gains(Leader::Lru);
        assert_eq!(eviction.leader, Leader::Lru);
    }

    #[test]
    fn eight_modules_are_remembered_for_each_that_is_there() {
        let mut eviction = Eviction::new(3);
        for key in keys(100) {
            eviction.insert(key, 1, |_| false);
        }
        assert_eq!((eviction.evicted.len(), eviction.slots.len()), (24, 27));
        assert!(eviction.nodes.len() <= 28);
    }

    #[test]
    fn modules_without_weight_leave_only_to_make_room_for_others() {
        let keys = keys(4);
        let mut eviction = Eviction::new(1);
        for (key, weight) in keys.iter().zip([0, 1, 0]) {
            assert_eq!(eviction.insert(*key, weight, |_| false), []);
        }
        let evicted = eviction.insert(keys[3], 1, |_| false);
        assert!(evicted.contains(&keys[1]));
        assert_eq!(eviction.weight(), 1);
    }
}
