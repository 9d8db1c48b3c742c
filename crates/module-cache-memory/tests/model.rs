//! Both caches against a model so simple that it is plainly SIEVE: after every operation they hold exactly
//! what the model holds.

mod support;

use module_cache_core::{CacheStats, ModuleCache, SaveOutcome, SkipReason};
use module_cache_memory::{SharedCache, ThreadLocalCache};
use proptest::prelude::*;
use support::{Plain, key};

const MAX_WEIGHT: u64 = 20;
const NAMES: u64 = 10;
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
            let weight = if heavy % 3 == 0 { heavy } else { heavy % 7 };
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

struct Module {
    name: Name,
    weight: u64,
    visited: bool,
}

/// SIEVE on two vectors.
#[derive(Default)]
struct Model {
    /// Oldest first; the hand is an index into it.
    queue: Vec<Module>,
    hand: usize,
    pinned: Vec<Module>,
    stats: CacheStats,
}

impl Model {
    fn modules(&self) -> impl Iterator<Item = &Module> {
        self.queue.iter().chain(&self.pinned)
    }

    fn weight(&self) -> u64 {
        self.modules().map(|module| module.weight).sum()
    }

    fn find(&mut self, name: Name) -> Option<&mut Module> {
        let mut modules = self.queue.iter_mut().chain(&mut self.pinned);
        modules.find(|module| module.name == name)
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
        let pinned: u64 = self.pinned.iter().map(|module| module.weight).sum();
        if pinned + weight > MAX_WEIGHT {
            self.stats.skipped += 1;
            return SaveOutcome::Skipped(if weight > MAX_WEIGHT {
                SkipReason::TooLarge
            } else {
                SkipReason::NoSpace
            });
        }
        while self.weight() + weight > MAX_WEIGHT {
            let candidate = &mut self.queue[self.hand];
            if candidate.visited {
                candidate.visited = false;
                self.hand = (self.hand + 1) % self.queue.len();
            } else {
                self.take_from_queue(self.hand);
                self.stats.evictions += 1;
            }
        }
        self.queue.push(Module {
            name,
            weight,
            visited: false,
        });
        self.stats.saves += 1;
        self.stats.bytes_saved += weight;
        SaveOutcome::Stored { bytes: weight }
    }

    fn remove(&mut self, name: Name) -> bool {
        self.unpin(name);
        let found = self.queue.iter().position(|module| module.name == name);
        found.map(|at| self.take_from_queue(at)).is_some()
    }

    fn pin(&mut self, name: Name) -> bool {
        if let Some(at) = self.queue.iter().position(|module| module.name == name) {
            let module = self.take_from_queue(at);
            self.pinned.push(module);
        }
        self.find(name).is_some()
    }

    fn unpin(&mut self, name: Name) -> bool {
        let found = self.pinned.iter().position(|module| module.name == name);
        found
            .map(|at| self.queue.push(self.pinned.remove(at)))
            .is_some()
    }

    fn clear(&mut self) {
        *self = Self {
            stats: self.stats,
            ..Self::default()
        };
    }

    fn take_from_queue(&mut self, at: usize) -> Module {
        let module = self.queue.remove(at);
        if at < self.hand {
            self.hand -= 1;
        }
        if self.hand == self.queue.len() {
            self.hand = 0;
        }
        module
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
        operations in prop::collection::vec(operation(), 0..200)
    ) {
        check(&SharedCache::with_max_weight(MAX_WEIGHT), operations);
    }

    #[test]
    fn a_thread_local_cache_holds_what_the_model_holds(
        operations in prop::collection::vec(operation(), 0..200)
    ) {
        check(&ThreadLocalCache::with_max_weight(MAX_WEIGHT), operations);
    }
}
