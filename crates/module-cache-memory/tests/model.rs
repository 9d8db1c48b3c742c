//! Both caches against a slow model of them on plain vectors: after every operation they hold exactly what
//! the model holds.

mod support;

use module_cache_core::{CacheStats, ModuleCache, SaveOutcome, SkipReason};
use module_cache_memory::{SharedCache, ThreadLocalCache};
use proptest::prelude::*;
use support::{Plain, key};

/// So that more modules fit than one eviction gives second chances.
const MAX_WEIGHT: u64 = 40;
const NAMES: u64 = 20;
const ENGINES: usize = 2;

/// A module of one of the engines.
type Name = (u64, usize);

#[derive(Debug, Clone)]
enum Operation {
    Save(Name, u64),
    Load(Name),
    LoadResident(Name),
    Remove(Name),
    Pin(Name),
    Unpin(Name),
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || (0..NAMES, 0..ENGINES);
    prop_oneof![
        8 => (name(), 0..=MAX_WEIGHT + 1).prop_map(|(name, heavy)| {
            // Mostly light ones, so that several fit.
            let weight = if heavy % 9 == 0 { heavy } else { heavy % 4 };
            Operation::Save(name, weight)
        }),
        8 => name().prop_map(Operation::Load),
        1 => name().prop_map(Operation::LoadResident),
        2 => name().prop_map(Operation::Remove),
        2 => name().prop_map(Operation::Pin),
        2 => name().prop_map(Operation::Unpin),
        1 => Just(Operation::Clear),
    ]
}

#[derive(Clone)]
struct Module {
    name: Name,
    weight: u64,
    requests: u128,
    /// The module of the lowest one is evicted next.
    priority: u128,
    visited: bool,
}

#[derive(Default)]
struct Model {
    /// In the order in which their priorities were computed.
    present: Vec<Module>,
    pinned: Vec<Module>,
    lowest: u128,
    stats: CacheStats,
}

impl Model {
    fn modules(&self) -> impl Iterator<Item = &Module> {
        self.present.iter().chain(&self.pinned)
    }

    fn weight(&self) -> u64 {
        self.modules().map(|module| module.weight).sum()
    }

    fn find(&mut self, name: Name) -> Option<&mut Module> {
        let mut modules = self.present.iter_mut().chain(&mut self.pinned);
        modules.find(|module| module.name == name)
    }

    /// What pinned modules leave.
    fn room(&self) -> u64 {
        let pinned: u64 = self.pinned.iter().map(|module| module.weight).sum();
        MAX_WEIGHT - pinned
    }

    fn load(&mut self, name: Name) -> Option<u64> {
        let module = self.find(name)?;
        module.visited = true;
        let weight = module.weight;
        self.stats.hits += 1;
        Some(weight)
    }

    fn save(&mut self, name: Name, weight: u64) -> SaveOutcome {
        if self.find(name).is_some() {
            return SaveOutcome::Skipped(SkipReason::AlreadyStored);
        }
        if weight > self.room() {
            self.stats.skipped += 1;
            return SaveOutcome::Skipped(if weight > MAX_WEIGHT {
                SkipReason::TooLarge
            } else {
                SkipReason::NoSpace
            });
        }
        self.insert(name, weight);
        self.stats.saves += 1;
        self.stats.bytes_saved += weight;
        SaveOutcome::Stored { bytes: weight }
    }

    fn insert(&mut self, name: Name, weight: u64) {
        let total = |present: &[Module]| present.iter().map(|one| one.weight).sum::<u64>();
        while total(&self.present) + weight > self.room() {
            self.evict();
        }
        self.add(name, weight, 1);
    }

    fn evict(&mut self) {
        for chance in 0.. {
            let priorities = self.present.iter().map(|module| module.priority);
            let (at, _) = priorities
                .enumerate()
                .min_by_key(|(_, priority)| *priority)
                .unwrap();
            let module = self.present.remove(at);
            self.lowest = module.priority;
            if !module.visited || chance == 8 {
                self.stats.evictions += 1;
                return;
            }
            self.add(module.name, module.weight, module.requests + 1);
        }
    }

    fn add(&mut self, name: Name, weight: u64, requests: u128) {
        let priority = match weight {
            0 => u128::MAX,
            _ => self.lowest + (requests << 64) / u128::from(weight),
        };
        self.present.push(Module {
            name,
            weight,
            requests,
            priority,
            visited: false,
        });
    }

    fn take_present(&mut self, name: Name) -> Option<Module> {
        let at = self.present.iter().position(|module| module.name == name)?;
        Some(self.present.remove(at))
    }

    fn take_pinned(&mut self, name: Name) -> Option<Module> {
        let at = self.pinned.iter().position(|module| module.name == name)?;
        Some(self.pinned.remove(at))
    }

    fn remove(&mut self, name: Name) -> bool {
        let pinned = self.take_pinned(name);
        pinned.or_else(|| self.take_present(name)).is_some()
    }

    fn pin(&mut self, name: Name) -> bool {
        if let Some(module) = self.take_present(name) {
            self.pinned.push(module);
        }
        self.pinned.iter().any(|module| module.name == name)
    }

    fn unpin(&mut self, name: Name) -> bool {
        let pinned = self.take_pinned(name);
        let Some(Module {
            weight, visited, ..
        }) = pinned
        else {
            return false;
        };
        self.insert(name, weight);
        self.find(name).unwrap().visited = visited;
        true
    }

    fn clear(&mut self) {
        *self = Self {
            stats: self.stats,
            ..Self::default()
        };
    }
}

/// What both caches have beside the trait, of which one has no pins.
trait Subject: ModuleCache<Plain<u64>> {
    fn pin(&self, _: u64, _: &Plain<u64>) -> Option<bool> {
        None
    }
    fn unpin(&self, _: u64, _: &Plain<u64>) -> Option<bool> {
        None
    }
    fn clear(&self);
    fn account(&self) -> (usize, u64, CacheStats);
}

impl Subject for SharedCache<Plain<u64>> {
    fn pin(&self, name: u64, engine: &Plain<u64>) -> Option<bool> {
        Some(self.pin(key(name), engine))
    }

    fn unpin(&self, name: u64, engine: &Plain<u64>) -> Option<bool> {
        Some(self.unpin(key(name), engine))
    }

    fn clear(&self) {
        self.clear();
    }

    fn account(&self) -> (usize, u64, CacheStats) {
        (self.len(), self.weight(), self.stats())
    }
}

impl Subject for ThreadLocalCache<Plain<u64>> {
    fn clear(&self) {
        self.clear();
    }

    fn account(&self) -> (usize, u64, CacheStats) {
        (self.len(), self.weight(), self.stats())
    }
}

fn check(cache: &impl Subject, operations: Vec<Operation>) {
    let engines = [(); ENGINES].map(|()| Plain::of_weights());
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Save((n, e), weight) => assert_eq!(
                cache.save(key(n), &engines[e], &weight).unwrap(),
                model.save((n, e), weight)
            ),
            Operation::Load((n, e)) => {
                let expected = model.load((n, e));
                model.stats.misses += u64::from(expected.is_none());
                assert_eq!(cache.load(key(n), &engines[e]).unwrap(), expected);
            }
            Operation::LoadResident((n, e)) => {
                assert_eq!(cache.load_resident(key(n), &engines[e]), model.load((n, e)));
            }
            Operation::Remove((n, e)) => assert_eq!(
                cache.remove(key(n), &engines[e]).unwrap(),
                model.remove((n, e))
            ),
            Operation::Pin((n, e)) => {
                if let Some(pinned) = cache.pin(n, &engines[e]) {
                    assert_eq!(pinned, model.pin((n, e)));
                }
            }
            Operation::Unpin((n, e)) => {
                if let Some(unpinned) = cache.unpin(n, &engines[e]) {
                    assert_eq!(unpinned, model.unpin((n, e)));
                }
            }
            Operation::Clear => {
                cache.clear();
                model.clear();
            }
        }
        for name in (0..NAMES).flat_map(|n| (0..ENGINES).map(move |e| (n, e))) {
            assert_eq!(
                cache.contains(key(name.0), &engines[name.1]).unwrap(),
                model.find(name).is_some(),
                "{name:?}"
            );
        }
        let (len, weight) = (model.modules().count(), model.weight());
        assert_eq!(cache.account(), (len, weight, model.stats));
    }
}

proptest! {
    #[test]
    fn a_shared_cache_holds_what_the_model_holds(
        operations in prop::collection::vec(operation(), 0..400)
    ) {
        check(&SharedCache::with_max_weight(MAX_WEIGHT), operations);
    }

    #[test]
    fn a_thread_local_cache_holds_what_the_model_holds(
        operations in prop::collection::vec(operation(), 0..400)
    ) {
        check(&ThreadLocalCache::with_max_weight(MAX_WEIGHT), operations);
    }
}
