//! Which modules a cache has, what they take, which of them are pinned, and what was done.
//!
//! Both caches keep their modules in maps of their own and this beside them. It knows keys and costs, not modules, and
//! is not thread-safe. Which module leaves is for [`Eviction`] to say, to which pinned modules are as if they were not
//! there, nor the room that they take.

use std::collections::HashMap;

use module_cache_core::instance::{EndHandler, EngineInstance, InstanceId, WeakEngineInstance};
use module_cache_core::{CacheStats, SkipReason};

use crate::eviction::Eviction;
use crate::key::{Key, KeyMap, KeySet, give_back_memory};

/// What a module takes, or modules together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// In bytes.
    pub(crate) weight: u64,
    pub(crate) descriptors: u64,
}

/// The accounts of a cache.
#[derive(Debug)]
pub(crate) struct Accounting {
    limit: Cost,
    modules: KeyMap<Cost>,
    total: Cost,
    pinned: KeySet,
    pinned_total: Cost,
    /// The modules that are not pinned.
    others: Eviction,
    engines: HashMap<InstanceId, ModulesOf>,
    stats: CacheStats,
}

/// The modules of one engine, none perhaps. It is known from the first that was saved until it ends.
#[derive(Debug)]
struct ModulesOf {
    engine: WeakEngineInstance,
    keys: KeySet,
    /// Held, so that the cache learns when the engine ends, and the engine forgets the cache when that is gone.
    _handler: EndHandler,
}

impl Accounting {
    pub(crate) fn new(limit: Cost) -> Self {
        Self {
            limit,
            modules: KeyMap::default(),
            total: Cost::default(),
            pinned: KeySet::default(),
            pinned_total: Cost::default(),
            others: Eviction::default(),
            engines: HashMap::new(),
            stats: CacheStats::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }

    pub(crate) fn total(&self) -> Cost {
        self.total
    }

    pub(crate) fn limit(&self) -> Cost {
        self.limit
    }

    pub(crate) fn set_max_descriptors(&mut self, max: u64) {
        self.limit.descriptors = max;
    }

    /// What was saved, skipped and evicted.
    pub(crate) fn stats(&self) -> CacheStats {
        self.stats
    }

    /// Adds a module, unless it is there or has no room, and returns those that leave for it.
    ///
    /// `take_visited` clears a module's visited bit and says whether it was set. If the engine was not known, `handle`
    /// handles its end from now on.
    pub(crate) fn save(
        &mut self,
        key: Key,
        cost: Cost,
        engine: &EngineInstance,
        mut take_visited: impl FnMut(&Key) -> bool,
        handle: impl FnOnce() -> EndHandler,
    ) -> Result<Vec<Key>, SkipReason> {
        if self.modules.contains_key(&key) {
            return Err(SkipReason::AlreadyStored);
        }
        if !cost.fits_beside(self.pinned_total, self.limit) {
            self.stats.skipped += 1;
            return Err(if cost.fits_beside(Cost::default(), self.limit) {
                SkipReason::NoSpace
            } else {
                SkipReason::TooLarge
            });
        }
        let mut evicted = Vec::new();
        while !cost.fits_beside(self.total, self.limit) {
            let Some(victim) = self.others.evict(&mut take_visited) else {
                break;
            };
            self.take(&victim);
            evicted.push(victim);
        }
        self.others.insert(key, cost.in_bytes(self.limit));
        self.modules.insert(key, cost);
        self.total.add(cost);
        let modules = self
            .engines
            .entry(engine.id())
            .or_insert_with(|| ModulesOf {
                engine: engine.downgrade(),
                keys: KeySet::default(),
                _handler: handle(),
            });
        modules.keys.insert(key);
        self.stats.evictions += evicted.len() as u64;
        self.stats.saves += 1;
        self.stats.bytes_saved = self.stats.bytes_saved.saturating_add(cost.weight);
        give_back_memory(&mut self.modules);
        Ok(evicted)
    }

    /// Forgets a module, pinned or not, that may be there.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.unpin(key);
        self.others.remove(key);
        self.take(key);
        give_back_memory(&mut self.modules);
    }

    /// Keeps a module from being evicted, and says whether it is there.
    pub(crate) fn pin(&mut self, key: &Key) -> bool {
        let Some(cost) = self.modules.get(key) else {
            return false;
        };
        if self.pinned.insert(*key) {
            self.others.remove(key);
            self.pinned_total.add(*cost);
        }
        true
    }

    /// Lets a module be evicted again, as if it came now, and says whether it was pinned.
    pub(crate) fn unpin(&mut self, key: &Key) -> bool {
        let is_pinned = self.pinned.remove(key);
        if is_pinned {
            if let Some(cost) = self.modules.get(key) {
                self.pinned_total.subtract(*cost);
                self.others.insert(*key, cost.in_bytes(self.limit));
            }
        }
        is_pinned
    }

    /// Forgets all modules, and keeps the statistics and the engines.
    pub(crate) fn clear(&mut self) {
        let mut engines = std::mem::take(&mut self.engines);
        for modules in engines.values_mut() {
            modules.keys = KeySet::default();
        }
        *self = Self {
            stats: self.stats,
            engines,
            ..Self::new(self.limit)
        };
    }

    /// Forgets an engine and its modules, which it returns.
    pub(crate) fn forget_engine(&mut self, engine: InstanceId) -> KeySet {
        let modules = self.engines.remove(&engine);
        let keys = modules.map(|modules| modules.keys).unwrap_or_default();
        for key in &keys {
            self.remove(key);
        }
        keys
    }

    /// Forgets all engines that have ended, and their modules, which it returns.
    pub(crate) fn forget_ended_engines(&mut self) -> Vec<Key> {
        let engines = self.engines.iter();
        let ended = engines.filter(|(_, modules)| !modules.engine.is_alive());
        let ended: Vec<_> = ended.map(|(engine, _)| *engine).collect();
        let keys = ended
            .into_iter()
            .flat_map(|engine| self.forget_engine(engine));
        keys.collect()
    }

    /// Takes a module out of everything but `pinned` and `others`.
    fn take(&mut self, key: &Key) {
        if let Some(cost) = self.modules.remove(key) {
            self.total.subtract(cost);
            if let Some(modules) = self.engines.get_mut(&key.instance()) {
                modules.keys.remove(key);
            }
        }
    }
}

impl Cost {
    /// Whether there is room for this beside `others`.
    fn fits_beside(self, others: Self, limit: Self) -> bool {
        let fits =
            |own: u64, others, limit| own.checked_add(others).is_some_and(|sum| sum <= limit);
        fits(self.weight, others.weight, limit.weight)
            && fits(self.descriptors, others.descriptors, limit.descriptors)
    }

    /// What this counts for when modules are compared, in bytes: its weight, or its part of all descriptors where that
    /// is larger.
    fn in_bytes(self, limit: Self) -> u64 {
        let of_descriptor = limit.weight / limit.descriptors.max(1);
        let of_descriptors = self.descriptors.saturating_mul(of_descriptor);
        self.weight.max(of_descriptors)
    }

    fn add(&mut self, other: Self) {
        self.weight += other.weight;
        self.descriptors += other.descriptors;
    }

    fn subtract(&mut self, other: Self) {
        self.weight -= other.weight;
        self.descriptors -= other.descriptors;
    }
}
