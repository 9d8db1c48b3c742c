//! The cache of live modules that all threads share.
//!
//! # Locking
//!
//! Modules are read a million times for every time one is saved, so they are behind a lock that costs readers next to
//! nothing. Two readers of one module share only the module's own reference count.
//!
//! What changes what is there (save, remove, pin, unpin, clear, the end of an engine) first takes the lock of the
//! accounts, then that of the modules; so both agree whenever the lock of the accounts is free, and the weight is
//! exact. Modules are dropped when all locks are released: that may take long, and may call the cache.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use module_cache_core::instance::{EngineInstance, InstanceId};
use module_cache_core::per_thread::{ThreadCounter, ThreadSlot};
use module_cache_core::{CacheError, CacheStats, Engine, ModuleCache, ModuleHash, SaveOutcome};
use parking_lot::Mutex;

use crate::accounting::{Accounting, Cost};
use crate::biased_lock::BiasedLock;
use crate::descriptors;
use crate::key::{Key, KeyMap, give_back_memory};

/// A cache of live modules for all threads, bounded by weight and by file descriptors.
///
/// It is a handle: clones share the modules. A hit clones the module and allocates nothing. The [crate's
/// documentation](crate) describes which modules are evicted. The modules of an engine are dropped when its last handle is
/// dropped.
///
/// Saving a module that the cache has already keeps the old one.
///
/// # Contract
///
/// A module is cloned under a lock, so its `Clone` must not call the cache. Its `Drop` may.
///
/// ```no_run
/// # use module_cache_core::instance::EngineInstance;
/// # use module_cache_core::{Engine, ModuleCache, ModuleHash};
/// # fn example<E: Engine>(engine: &E, plugin: ModuleHash) {
/// use module_cache_memory::SharedCache;
///
/// let cache = SharedCache::<E>::with_max_weight(512 << 20);
/// // … once the plugin that every request needs was saved:
/// cache.pin(plugin, engine);
/// # }
/// ```
pub struct SharedCache<E: Engine> {
    state: Arc<State<E::Module>>,
}

impl<E: Engine> SharedCache<E> {
    /// An empty cache whose modules weigh at most 1 GiB together.
    pub fn new() -> Self {
        Self::with_max_weight(1 << 30)
    }

    /// An empty cache whose modules weigh at most `bytes` together, as [`Engine::weight`] weighs them.
    ///
    /// They hold at most half of the file descriptors that the process may have now. A program with several such caches
    /// divides that among them by [`with_max_descriptors`](Self::with_max_descriptors).
    pub fn with_max_weight(bytes: u64) -> Self {
        let limit = Cost {
            weight: bytes,
            descriptors: descriptors::limit_of_process() / 2,
        };
        Self {
            state: Arc::new(State {
                residents: BiasedLock::new(KeyMap::default()),
                hits: ThreadCounter::new(),
                misses: ThreadCounter::new(),
                accounting: Mutex::new(Accounting::new(limit)),
            }),
        }
    }

    /// Limits the modules to `count` file descriptors together, as [`Engine::descriptors`] counts them. A cache that has
    /// more already gets to the limit with its next save, except for pinned modules.
    #[must_use]
    pub fn with_max_descriptors(self, count: u64) -> Self {
        self.state.accounting.lock().set_max_descriptors(count);
        self
    }

    /// Keeps a module from being evicted, and returns whether the cache has it.
    ///
    /// It still counts toward the weight. If pinned modules leave too little room, a save is skipped with
    /// [`NoSpace`](module_cache_core::SkipReason::NoSpace). Pins are not counted: one [`unpin`](Self::unpin) undoes many.
    pub fn pin(&self, hash: ModuleHash, engine: &E) -> bool {
        self.state.accounting.lock().pin(&Key::new(hash, engine))
    }

    /// Lets a pinned module be evicted again, as the most recently used one, and returns whether it was pinned.
    pub fn unpin(&self, hash: ModuleHash, engine: &E) -> bool {
        let key = Key::new(hash, engine);
        self.state.accounting.lock().unpin(&key)
    }

    /// Drops all modules, pinned ones too. Modules that were loaded before stay usable.
    pub fn clear(&self) {
        let modules = self.state.take_all();
        drop(modules);
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.state.accounting.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The total weight of the modules in bytes, within the bound of the cache.
    pub fn weight(&self) -> u64 {
        self.state.accounting.lock().total().weight
    }

    /// How many file descriptors the modules hold together.
    pub fn descriptors(&self) -> u64 {
        self.state.accounting.lock().total().descriptors
    }

    /// What the cache has done since it was created, through all handles.
    ///
    /// [`load_resident`](ModuleCache::load_resident) counts its hits and not its misses, because its
    /// callers go on to [`load`](ModuleCache::load).
    pub fn stats(&self) -> CacheStats {
        let mut stats = self.state.accounting.lock().stats();
        stats.hits = self.state.hits.sum();
        stats.misses = self.state.misses.sum();
        stats
    }
}

impl<E: Engine<Module: Send + Sync>> ModuleCache<E> for SharedCache<E> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let found = self.load_resident(hash, engine);
        if found.is_none() {
            self.state.misses.add_one(ThreadSlot::current());
        }
        Ok(found)
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        Ok(self.state.contains(&Key::new(hash, engine)))
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let cost = Cost {
            weight: engine.weight(module).unwrap_or(0),
            descriptors: engine.descriptors(module).into(),
        };
        let key = Key::new(hash, engine);
        Ok(self
            .state
            .insert(key, cost, engine.instance(), module.clone()))
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let removed = self.state.remove(&Key::new(hash, engine));
        Ok(removed.is_some())
    }

    fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
        let slot = ThreadSlot::current();
        let module = self.state.get(&Key::new(hash, engine), slot)?;
        self.state.hits.add_one(slot);
        Some(module)
    }
}

impl<E: Engine> Clone for SharedCache<E> {
    fn clone(&self) -> Self {
        Self {
            state: Arc::clone(&self.state),
        }
    }
}

impl<E: Engine> Default for SharedCache<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Engine> fmt::Debug for SharedCache<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, total, limit) = {
            let accounting = self.state.accounting.lock();
            (accounting.len(), accounting.total(), accounting.limit())
        };
        out.debug_struct("SharedCache")
            .field("len", &len)
            .field("weight", &total.weight)
            .field("max_weight", &limit.weight)
            .field("descriptors", &total.descriptors)
            .field("max_descriptors", &limit.descriptors)
            .finish()
    }
}

struct State<M> {
    residents: BiasedLock<KeyMap<Resident<M>>>,
    hits: ThreadCounter,
    misses: ThreadCounter,
    accounting: Mutex<Accounting>,
}

struct Resident<M> {
    module: M,
    visited: AtomicBool,
}

impl<M: Clone> State<M> {
    #[inline]
    fn get(&self, key: &Key, slot: ThreadSlot) -> Option<M> {
        self.residents.read(slot, |residents| {
            let resident = residents.get(key)?;
            // A line that is only read stays in the core's cache.
            if !resident.visited.load(Ordering::Relaxed) {
                resident.visited.store(true, Ordering::Relaxed);
            }
            Some(resident.module.clone())
        })
    }
}

impl<M> State<M> {
    fn contains(&self, key: &Key) -> bool {
        self.residents.read(ThreadSlot::current(), |residents| {
            residents.contains_key(key)
        })
    }

    fn remove(&self, key: &Key) -> Option<Resident<M>> {
        let mut accounting = self.accounting.lock();
        accounting.remove(key);
        self.take_out([key]).pop()
    }

    fn take_all(&self) -> KeyMap<Resident<M>> {
        let mut accounting = self.accounting.lock();
        accounting.clear();
        self.residents.write(mem::take)
    }

    fn forget_engine(&self, engine: InstanceId) {
        let mut accounting = self.accounting.lock();
        let keys = accounting.forget_engine(engine);
        let modules = self.take_out(&keys);
        drop(accounting);
        drop(modules);
    }

    /// Only while the accounts are locked.
    fn take_out<'k>(&self, keys: impl IntoIterator<Item = &'k Key>) -> Vec<Resident<M>> {
        self.residents.write(|residents| {
            let keys = keys.into_iter();
            let taken = keys.filter_map(|key| residents.remove(key)).collect();
            give_back_memory(residents);
            taken
        })
    }

    fn take_visited(&self, key: &Key) -> bool {
        self.residents.read(ThreadSlot::current(), |residents| {
            let resident = residents.get(key);
            resident.is_some_and(|one| one.visited.swap(false, Ordering::Relaxed))
        })
    }
}

impl<M: Send + Sync + 'static> State<M> {
    fn insert(
        self: &Arc<Self>,
        key: Key,
        cost: Cost,
        engine: &EngineInstance,
        module: M,
    ) -> SaveOutcome {
        let newcomer = Resident {
            module,
            visited: AtomicBool::new(false),
        };
        let handle = || {
            let (state, id) = (Arc::downgrade(self), engine.id());
            engine.when_dropped(move || {
                if let Some(state) = state.upgrade() {
                    state.forget_engine(id);
                }
            })
        };
        let take_visited = |key: &Key| self.take_visited(key);
        let mut accounting = self.accounting.lock();
        let victims = match accounting.save(key, cost, engine, take_visited, handle) {
            Ok(victims) => victims,
            Err(reason) => {
                drop(accounting);
                return SaveOutcome::Skipped(reason);
            }
        };
        let evicted: Vec<_> = self.residents.write(|residents| {
            let evicted = victims.iter().filter_map(|victim| residents.remove(victim));
            let evicted = evicted.collect();
            residents.insert(key, newcomer);
            give_back_memory(residents);
            evicted
        });
        drop(accounting);
        drop(evicted);
        SaveOutcome::Stored { bytes: cost.weight }
    }
}
