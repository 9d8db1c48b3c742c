//! Which module leaves when room is needed: Greedy-Dual-Size-Frequency (Cherkasova, *Improving WWW Proxies
//! Performance with Greedy-Dual-Size-Frequency Caching Policy*, HP Laboratories, HPL-98-69R1, 1998).
//!
//! The module of the lowest priority is evicted. A module's priority is its number of requests divided by its
//! weight, plus the lowest priority in the cache at the time of the request. The quotient keeps modules that
//! are popular or light; the second term lets modules age that are no longer requested.
//!
//! A hit only sets the visited bit of its module in the cache. The policy reads the bit when the module is
//! about to be evicted: if it is set, the module gets a second chance, as with CLOCK, and its priority is
//! computed again with one request more.

use std::collections::BTreeMap;

use crate::key::{Key, KeyMap, give_back_memory};

/// The modules that may be evicted. It knows keys and weights, not modules, and is not thread-safe.
#[derive(Debug, Default)]
pub(crate) struct Eviction {
    modules: KeyMap<Module>,
    /// The first one is evicted next. The tree frees its nodes by itself.
    order: BTreeMap<Rank, Key>,
    /// The priority of the module that was looked at last, which was the lowest one.
    lowest: u128,
    ranks: u64,
}

#[derive(Debug)]
struct Module {
    weight: u64,
    requests: u32,
    rank: Rank,
}

/// Modules of equal priority are evicted in the order in which their priorities were computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: u128,
    number: u64,
}

/// How many modules get a second chance before one is evicted although its bit may be set.
const SECOND_CHANCES: usize = 8;

impl Eviction {
    /// Adds a module that is not present.
    pub(crate) fn insert(&mut self, key: Key, weight: u64) {
        self.add(key, weight, 1);
    }

    /// Forgets a module that may be present.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.take(key);
        give_back_memory(&mut self.modules);
    }

    /// Chooses a module, and forgets it; `None` if there is none.
    ///
    /// `take_visited` clears the visited bit of a module that is present, and returns whether it was set. It
    /// is called at most nine times.
    pub(crate) fn evict(&mut self, take_visited: &mut impl FnMut(&Key) -> bool) -> Option<Key> {
        let mut second_chances = SECOND_CHANCES;
        loop {
            let (_, key) = self.order.pop_first()?;
            let module = self.take(&key)?;
            if module.weight > 0 {
                self.lowest = module.rank.priority;
            }
            if !take_visited(&key) || second_chances == 0 {
                give_back_memory(&mut self.modules);
                return Some(key);
            }
            second_chances -= 1;
            self.add(key, module.weight, module.requests.saturating_add(1));
        }
    }

    fn add(&mut self, key: Key, weight: u64, requests: u32) {
        let rank = self.rank(weight, requests);
        self.order.insert(rank, key);
        let module = Module {
            weight,
            requests,
            rank,
        };
        self.modules.insert(key, module);
    }

    fn rank(&mut self, weight: u64, requests: u32) -> Rank {
        self.ranks += 1;
        // In units of 2^-64, so that it is not zero for any weight.
        let value = (u128::from(requests) << 64).checked_div(u128::from(weight));
        Rank {
            // A module without weight is evicted last, because that makes no room.
            priority: value.map_or(u128::MAX, |value| self.lowest.saturating_add(value)),
            number: self.ranks,
        }
    }

    fn take(&mut self, key: &Key) -> Option<Module> {
        let module = self.modules.remove(key)?;
        self.order.remove(&module.rank);
        Some(module)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use module_cache_core::ModuleHash;
    use module_cache_testkit::TestEngine;

    use super::*;

    fn keys(count: u32) -> Vec<Key> {
        let engine = TestEngine::new("eviction");
        (0..count)
            .map(|n| Key::new(ModuleHash::of(&n.to_le_bytes()), &engine))
            .collect()
    }

    /// A cache with room for so much weight.
    struct Bounded {
        room: u64,
        weight: u64,
        eviction: Eviction,
    }

    impl Bounded {
        fn of(room: u64) -> Self {
            Self {
                room,
                weight: 0,
                eviction: Eviction::default(),
            }
        }

        /// Evicts what has to leave for a module, and adds that.
        fn insert(
            &mut self,
            key: Key,
            weight: u64,
            mut take_visited: impl FnMut(&Key) -> bool,
        ) -> Vec<Key> {
            let mut victims = Vec::new();
            while self.weight > self.room - weight {
                let weights: HashMap<_, _> = self
                    .eviction
                    .modules
                    .iter()
                    .map(|(key, module)| (*key, module.weight))
                    .collect();
                let victim = self.eviction.evict(&mut take_visited).unwrap();
                self.weight -= weights[&victim];
                victims.push(victim);
            }
            self.eviction.insert(key, weight);
            self.weight += weight;
            victims
        }

        fn insert_all(&mut self, keys: &[Key], weight: u64) {
            for key in keys {
                assert_eq!(self.insert(*key, weight, |_| false), []);
            }
        }

        fn len(&self) -> usize {
            assert_eq!(self.eviction.order.len(), self.eviction.modules.len());
            self.eviction.modules.len()
        }
    }

    #[test]
    fn of_modules_requested_once_the_heaviest_leaves_first_and_of_equals_the_oldest() {
        let keys = keys(5);
        let mut cache = Bounded::of(10);
        for (key, weight) in keys.iter().zip([2, 3, 2, 3]) {
            cache.insert(*key, weight, |_| false);
        }
        assert_eq!(
            cache.insert(keys[4], 10, |_| false),
            [keys[1], keys[3], keys[0], keys[2]]
        );
    }

    #[test]
    fn a_hit_keeps_a_module_rather_than_a_lighter_one_but_not_than_a_much_lighter_one() {
        let keys = keys(3);
        for (weight, victim) in [(5, keys[1]), (7, keys[0])] {
            let mut visited = HashSet::from([keys[0]]);
            let mut cache = Bounded::of(weight + 2);
            cache.insert_all(&keys[..1], weight);
            cache.insert_all(&keys[1..2], 2);
            let victims = cache.insert(keys[2], 1, |key| visited.remove(key));
            assert_eq!(victims, [victim]);
        }
    }

    #[test]
    fn a_light_module_that_is_no_longer_requested_leaves_in_the_end() {
        let keys = keys(100);
        let mut cache = Bounded::of(10);
        cache.insert(keys[0], 1, |_| false);
        let inserted = keys[1..].iter().position(|key| {
            let victims = cache.insert(*key, 5, |_| false);
            victims.contains(&keys[0])
        });
        assert_eq!(inserted, Some(6));
    }

    #[test]
    fn it_evicts_although_every_bit_is_set_as_fast_as_it_is_cleared() {
        let mut cache = Bounded::of(3);
        for key in keys(100) {
            let mut looks = 0;
            let evicted = cache.insert(key, 1, |_| {
                looks += 1;
                true
            });
            assert!(evicted.len() <= 1 && looks <= SECOND_CHANCES + 1);
        }
        assert_eq!(cache.len(), 3);
    }

    #[test]
    fn only_modules_that_are_present_are_looked_at() {
        let mut cache = Bounded::of(10);
        let mut present = HashSet::new();
        for (key, weight) in keys(100)
            .into_iter()
            .zip([1, 4, 2, 9, 1, 3].into_iter().cycle())
        {
            let victims = cache.insert(key, weight, |key| {
                assert!(present.contains(key));
                true
            });
            for victim in victims {
                assert!(present.remove(&victim) && !cache.eviction.modules.contains_key(&victim));
            }
            present.insert(key);
            assert_eq!(cache.len(), present.len());
        }
    }

    #[test]
    fn modules_without_weight_stay() {
        let keys = keys(104);
        let mut cache = Bounded::of(1);
        cache.insert_all(&keys[..3], 0);
        cache.insert_all(&keys[3..4], 1);
        for pair in keys[3..].windows(2) {
            assert_eq!(cache.insert(pair[1], 1, |_| false), [pair[0]]);
        }
        assert_eq!((cache.len(), cache.weight), (4, 1));
    }

    #[test]
    fn weights_near_the_largest_number_do_not_overflow() {
        let keys = keys(4);
        let mut cache = Bounded::of(u64::MAX);
        cache.insert_all(&keys[..1], u64::MAX - 1);
        cache.insert_all(&keys[1..2], 1);
        assert_eq!(cache.weight, u64::MAX);
        assert_eq!(cache.insert(keys[2], u64::MAX - 1, |_| true), [keys[0]]);
        assert_eq!(
            cache.insert(keys[3], u64::MAX, |_| false),
            [keys[2], keys[1]]
        );
    }

    #[test]
    fn modules_without_weight_are_evicted_last_and_age_nobody() {
        let keys = keys(3);
        let mut cache = Bounded::of(10);
        cache.insert_all(&keys[..1], 0);
        cache.insert_all(&keys[1..], 1);
        let evicted = std::iter::from_fn(|| cache.eviction.evict(&mut |_| false));
        assert_eq!(evicted.collect::<Vec<_>>(), [keys[1], keys[2], keys[0]]);
        assert!(cache.eviction.lowest < u128::MAX);
    }

    #[test]
    fn memory_is_given_back_when_heavy_modules_have_replaced_many_light_ones() {
        let mut keys = keys(2_004);
        let heavy = keys.split_off(2_000);
        let mut cache = Bounded::of(2_000);
        cache.insert_all(&keys, 1);
        for key in heavy {
            cache.insert(key, 500, |_| false);
        }
        assert_eq!(cache.len(), 4);
        assert!(cache.eviction.modules.capacity() < 64);
    }

    #[test]
    fn memory_is_given_back_when_modules_are_removed() {
        let keys = keys(100_000);
        let mut cache = Bounded::of(100_000);
        cache.insert_all(&keys, 1);
        for (key, left) in keys.iter().zip((0..100_000).rev()) {
            cache.eviction.remove(key);
            assert_eq!(cache.len(), left);
            assert!(cache.eviction.modules.capacity() < 8 * left + 8);
        }
    }
}
