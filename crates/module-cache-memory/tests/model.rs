//! Both caches against a slow model of them on plain vectors: after every operation they hold exactly what
//! the model holds.

mod support;

use std::collections::HashMap;

use module_cache_core::{CacheStats, ModuleCache, SaveOutcome, SkipReason};
use module_cache_memory::{SharedCache, ThreadLocalCache};
use proptest::prelude::*;
use support::{Plain, key};

/// So that more modules fit than one save looks at.
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
    visited: bool,
}

/// Modules with their weights, oldest first.
type Queue = Vec<(Name, u64)>;

#[derive(Default)]
struct Model {
    /// In the order in which they are looked at.
    present: Vec<Module>,
    pinned: Vec<Module>,
    evicted: Vec<Name>,
    lru: Queue,
    window: Queue,
    main: Queue,
    counts: HashMap<Name, u8>,
    counted: usize,
    /// What is present and a policy would not hold, first LRU's and then `TinyLFU`'s.
    surplus: [Vec<Name>; 2],
    /// Whether LRU does better, and by how much the better one leads.
    lru_leads: bool,
    lead: usize,
    stats: CacheStats,
}

fn weight(queue: &Queue) -> u64 {
    queue.iter().map(|(_, weight)| weight).sum()
}

fn has(queue: &Queue, name: Name) -> bool {
    queue.iter().any(|(other, _)| *other == name)
}

fn take(queue: &mut Queue, name: Name) -> Option<u64> {
    let at = queue.iter().position(|(other, _)| *other == name)?;
    Some(queue.remove(at).1)
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
        self.insert(Module {
            name,
            weight,
            visited: false,
        });
        self.stats.saves += 1;
        self.stats.bytes_saved += weight;
        SaveOutcome::Stored { bytes: weight }
    }

    fn insert(&mut self, module: Module) {
        for _ in 0..self.present.len().min(8) {
            let module = self.present.remove(0);
            self.present.push(module.clone());
            self.look(module.name);
        }
        for _ in 0..8 {
            let held = if self.lru_leads {
                &self.lru
            } else {
                &self.window
            };
            let surplus = self.surplus[usize::from(!self.lru_leads)].first();
            let next = surplus.or(held.first().map(|(name, _)| name)).copied();
            let present = next.filter(|next| self.present.iter().any(|one| one.name == *next));
            if !present.is_some_and(|next| self.look(next)) {
                break;
            }
        }
        self.request(module.name, module.weight);
        let total = |present: &[Module]| present.iter().map(|one| one.weight).sum::<u64>();
        while total(&self.present) + module.weight > self.room() {
            let victim = self.surplus[usize::from(!self.lru_leads)][0];
            for names in &mut self.surplus {
                names.retain(|name| *name != victim);
            }
            self.present.retain(|module| module.name != victim);
            self.evicted.push(victim);
            self.stats.evictions += 1;
        }
        self.evicted.retain(|name| *name != module.name);
        self.present.push(module);
        while self.evicted.len() > 8 * self.present.len() {
            let oldest = self.evicted.remove(0);
            self.forget(oldest);
        }
    }

    /// Tells both policies of a hit, if there was one.
    fn look(&mut self, name: Name) -> bool {
        let module = self.find(name).unwrap();
        let (visited, weight) = (std::mem::take(&mut module.visited), module.weight);
        if visited {
            self.request(name, weight);
        }
        visited
    }

    fn request(&mut self, name: Name, weight: u64) {
        let by_lru = has(&self.lru, name);
        if by_lru != (has(&self.window, name) || has(&self.main, name)) {
            if self.lru_leads == by_lru {
                self.lead = (self.lead + 1).min(8);
            } else if self.lead > 0 {
                self.lead -= 1;
            } else {
                self.lru_leads = by_lru;
            }
        }
        for names in &mut self.surplus {
            names.retain(|other| *other != name);
        }
        self.request_of_lru(name, weight);
        self.request_of_tiny_lfu(name, weight);
    }

    fn request_of_lru(&mut self, name: Name, weight: u64) {
        take(&mut self.lru, name);
        self.lru.push((name, weight));
        self.trim_lru();
    }

    fn trim_lru(&mut self) {
        while weight(&self.lru) > self.room() {
            let (dropped, _) = self.lru.remove(0);
            self.drop_from(0, dropped);
        }
    }

    fn request_of_tiny_lfu(&mut self, name: Name, weight: u64) {
        let held = self.window.len() + self.main.len();
        let count = self.counts.entry(name).or_default();
        *count = (*count + 1).min(7);
        self.counted += 1;
        if self.counted >= 40 * held.max(1) {
            self.counted /= 2;
            self.counts.values_mut().for_each(|count| *count /= 2);
        }
        if take(&mut self.main, name) == Some(weight) {
            self.main.push((name, weight));
        } else {
            take(&mut self.window, name);
            self.window.push((name, weight));
        }
        self.trim_tiny_lfu();
    }

    fn trim_tiny_lfu(&mut self) {
        // A hundredth of the room is less than any weight but none.
        while self.window.len() > 1 && weight(&self.window) > 0 {
            let candidate = self.window.remove(0);
            while weight(&self.window) + weight(&self.main) + candidate.1 > self.room()
                && self
                    .main
                    .first()
                    .is_some_and(|(main, _)| self.count(*main) + 1 < self.count(candidate.0))
            {
                let (dropped, _) = self.main.remove(0);
                self.drop_from(1, dropped);
            }
            if weight(&self.window) + weight(&self.main) + candidate.1 > self.room() {
                self.drop_from(1, candidate.0);
            } else {
                self.main.push(candidate);
            }
        }
        while weight(&self.window) + weight(&self.main) > self.room() {
            let part = if self.main.is_empty() {
                &mut self.window
            } else {
                &mut self.main
            };
            let (dropped, _) = part.remove(0);
            self.drop_from(1, dropped);
        }
    }

    fn count(&self, name: Name) -> u8 {
        self.counts.get(&name).copied().unwrap_or(0)
    }

    fn drop_from(&mut self, policy: usize, name: Name) {
        if self.present.iter().any(|module| module.name == name) {
            self.surplus[policy].push(name);
        }
    }

    fn forget(&mut self, name: Name) {
        take(&mut self.lru, name);
        take(&mut self.window, name);
        take(&mut self.main, name);
        self.counts.remove(&name);
        for names in &mut self.surplus {
            names.retain(|other| *other != name);
        }
    }

    fn take_present(&mut self, name: Name) -> Option<Module> {
        let at = self.present.iter().position(|module| module.name == name)?;
        self.forget(name);
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
            self.trim_lru();
            self.trim_tiny_lfu();
        }
        self.pinned.iter().any(|module| module.name == name)
    }

    fn unpin(&mut self, name: Name) -> bool {
        let pinned = self.take_pinned(name);
        pinned.map(|module| self.insert(module)).is_some()
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
