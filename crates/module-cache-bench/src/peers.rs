//! Maps and caches of other people that programs keep live modules in.

use dashmap::DashMap;
use foyer_memory::{CacheBuilder, CacheProperties};
use module_cache_core::ModuleHash;
use quick_cache::sync::DefaultLifecycle;
use quick_cache::{OptionsBuilder, UnitWeighter};

use crate::bare_engine::BareModule;
use crate::live_map::LiveMap;
use crate::pass_through::PassThrough;

/// A `DashMap`: sharded locks, no bound.
pub type Dash = DashMap<ModuleHash, BareModule, PassThrough>;

impl LiveMap for Dash {
    type Module = BareModule;

    fn save(&self, hash: ModuleHash, module: &BareModule) {
        self.insert(hash, module.clone());
    }

    fn load(&self, key: &ModuleHash) -> Option<BareModule> {
        self.get(key).map(|module| module.clone())
    }
}

/// papaya's map: lock-free reads, no bound.
pub type Papaya = papaya::HashMap<ModuleHash, BareModule, PassThrough>;

impl LiveMap for Papaya {
    type Module = BareModule;

    fn save(&self, hash: ModuleHash, module: &BareModule) {
        self.pin().insert(hash, module.clone());
    }

    fn load(&self, key: &ModuleHash) -> Option<BareModule> {
        self.pin().get(key).cloned()
    }
}

/// `quick_cache`: sharded locks, bounded, evicts by a variant of CLOCK-Pro.
pub type QuickCache = quick_cache::sync::Cache<ModuleHash, BareModule, UnitWeighter, PassThrough>;

/// A `quick_cache` for so many modules.
///
/// # Panics
///
/// When there is no memory for so many.
pub fn quick_cache(capacity: usize) -> QuickCache {
    let options = OptionsBuilder::new()
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .build();
    QuickCache::with_options(
        options.expect("both capacities were given"),
        UnitWeighter,
        PassThrough::default(),
        DefaultLifecycle::default(),
    )
}

impl LiveMap for QuickCache {
    type Module = BareModule;

    fn save(&self, hash: ModuleHash, module: &BareModule) {
        self.insert(hash, module.clone());
    }

    fn load(&self, key: &ModuleHash) -> Option<BareModule> {
        self.get(key)
    }
}

/// moka: lock-free reads that are recorded, bounded, evicts by W-TinyLFU.
pub type Moka = moka::sync::Cache<ModuleHash, BareModule, PassThrough>;

/// A moka cache for so many modules.
pub fn moka(capacity: usize) -> Moka {
    moka::sync::Cache::builder()
        .max_capacity(capacity as u64)
        .build_with_hasher(PassThrough::default())
}

impl LiveMap for Moka {
    type Module = BareModule;

    fn save(&self, hash: ModuleHash, module: &BareModule) {
        self.insert(hash, module.clone());
    }

    fn load(&self, key: &ModuleHash) -> Option<BareModule> {
        self.get(key)
    }
}

/// The part of foyer that is in memory: sharded locks, bounded, evicts by LRU unless told otherwise.
pub type Foyer = foyer_memory::Cache<ModuleHash, BareModule, PassThrough, CacheProperties>;

/// A foyer cache for so many modules.
pub fn foyer(capacity: usize) -> Foyer {
    CacheBuilder::new(capacity)
        .with_hash_builder(PassThrough::default())
        .build()
}

impl LiveMap for Foyer {
    type Module = BareModule;

    fn save(&self, hash: ModuleHash, module: &BareModule) {
        self.insert(hash, module.clone());
    }

    fn load(&self, key: &ModuleHash) -> Option<BareModule> {
        self.get(key).map(|entry| entry.value().clone())
    }
}
