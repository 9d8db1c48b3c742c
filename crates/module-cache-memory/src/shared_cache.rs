//! The cache of live modules that all threads share.
//!
//! # Locking
//!
//! Modules are read a million times for every time one is saved, so they lie behind a lock that costs
//! readers next to nothing. All that two readers of one module share is the module's own reference count.
//!
//! Whoever changes what is there (save, remove, pin, unpin, clear) first takes the lock of the stock, then
//! that of the modules; so what the stock says and what is there agree whenever the stock's lock is free,
//! and the weight is exact. Modules are dropped when all locks are released: that may take long, and may
//! call the cache.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use module_cache_core::{CacheError, CacheStats, Engine, ModuleCache, ModuleHash, SaveOutcome};
use parking_lot::Mutex;

use crate::biased_lock::BiasedLock;
use crate::key::{Key, KeyMap};
use crate::load_counter::LoadCounter;
use crate::stock::Stock;
use crate::thread_lane::Lane;

/// A cache of live modules for all threads, bounded by weight.
///
/// It is a handle: clones share the modules. A hit clones the module and allocates nothing; modules are
/// `Send + Sync` where threads share the cache. What leaves when room is needed is told in the
/// [crate's documentation](crate).
///
/// Saving a module that is there keeps the one that is there.
///
/// # Contract
///
/// A module is cloned under a lock, so its `Clone` must not call the cache. Its `Drop` may.
///
/// ```no_run
/// # use module_cache_core::{Engine, EngineInstance, ModuleCache, ModuleHash};
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
    pub fn with_max_weight(bytes: u64) -> Self {
        Self {
            state: Arc::new(State {
                residents: BiasedLock::new(KeyMap::default()),
                loads: LoadCounter::new(),
                stock: Mutex::new(Stock::new(bytes)),
            }),
        }
    }

    /// Keeps a module from being evicted, and says whether it is there to be kept.
    ///
    /// It still counts toward the weight. Where pinned modules leave too little room, a save is skipped
    /// for [`NoSpace`](module_cache_core::SkipReason::NoSpace). Pins are not counted: one
    /// [`unpin`](Self::unpin) undoes many.
    pub fn pin(&self, key: ModuleHash, engine: &E) -> bool {
        self.state.stock.lock().pin(&Key::new(key, engine))
    }

    /// Lets a pinned module be evicted again, as the newest of all, and says whether it was pinned.
    pub fn unpin(&self, key: ModuleHash, engine: &E) -> bool {
        let key = Key::new(key, engine);
        let mut stock = self.state.stock.lock();
        stock.unpin(&key, |key| self.state.take_visited(key))
    }

    /// Forgets all modules, pinned ones too. Modules handed out before stay usable.
    pub fn clear(&self) {
        let modules = self.state.take_all();
        drop(modules);
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.state.stock.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the modules weigh together, in bytes; never more than the cache was made for.
    pub fn weight(&self) -> u64 {
        self.state.stock.lock().weight()
    }

    /// What was done since the cache was made, through all handles.
    ///
    /// [`load_resident`](ModuleCache::load_resident) counts its hits and not its misses, because its
    /// callers go on to [`load`](ModuleCache::load).
    pub fn stats(&self) -> CacheStats {
        let mut stats = self.state.stock.lock().stats();
        stats.hits = self.state.loads.hits();
        stats.misses = self.state.loads.misses();
        stats
    }
}

impl<E: Engine> ModuleCache<E> for SharedCache<E> {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let found = self.load_resident(key, engine);
        if found.is_none() {
            self.state.loads.miss(Lane::current());
        }
        Ok(found)
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        Ok(self.state.contains(&Key::new(key, engine)))
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let weight = engine.weight(module).unwrap_or(0);
        let key = Key::new(key, engine);
        Ok(self.state.insert(key, weight, module.clone()))
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let removed = self.state.remove(&Key::new(key, engine));
        Ok(removed.is_some())
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        let lane = Lane::current();
        let module = self.state.get(&Key::new(key, engine), lane)?;
        self.state.loads.hit(lane);
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
        let (len, weight, max_weight) = {
            let stock = self.state.stock.lock();
            (stock.len(), stock.weight(), stock.max_weight())
        };
        out.debug_struct("SharedCache")
            .field("len", &len)
            .field("weight", &weight)
            .field("max_weight", &max_weight)
            .finish()
    }
}

struct State<M> {
    residents: BiasedLock<KeyMap<Resident<M>>>,
    loads: LoadCounter,
    stock: Mutex<Stock>,
}

struct Resident<M> {
    module: M,
    visited: AtomicBool,
}

impl<M: Clone> State<M> {
    #[inline]
    fn get(&self, key: &Key, lane: Lane) -> Option<M> {
        self.residents.read(lane, |residents| {
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
        let lane = Lane::current();
        self.residents
            .read(lane, |residents| residents.contains_key(key))
    }

    fn insert(&self, key: Key, weight: u64, module: M) -> SaveOutcome {
        let mut stock = self.stock.lock();
        let victims = match stock.save(key, weight, |key| self.take_visited(key)) {
            Ok(victims) => victims,
            Err(reason) => return SaveOutcome::Skipped(reason),
        };
        let newcomer = Resident {
            module,
            visited: AtomicBool::new(false),
        };
        let evicted: Vec<_> = self.residents.write(|residents| {
            residents.insert(key, newcomer);
            let evicted = victims.iter().filter_map(|victim| residents.remove(victim));
            evicted.collect()
        });
        drop(stock);
        drop(evicted);
        SaveOutcome::Stored { bytes: weight }
    }

    fn remove(&self, key: &Key) -> Option<Resident<M>> {
        let mut stock = self.stock.lock();
        stock.remove(key);
        self.residents.write(|residents| residents.remove(key))
    }

    fn take_all(&self) -> KeyMap<Resident<M>> {
        let mut stock = self.stock.lock();
        stock.clear();
        self.residents.write(mem::take)
    }

    fn take_visited(&self, key: &Key) -> bool {
        self.residents.read(Lane::current(), |residents| {
            let resident = residents.get(key);
            resident.is_some_and(|one| one.visited.swap(false, Ordering::Relaxed))
        })
    }
}
