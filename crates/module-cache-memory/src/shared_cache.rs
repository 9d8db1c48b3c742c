//! The cache of live modules that all threads share.
//!
//! # Locking
//!
//! Modules are read a million times for every time one is saved, so the map is there several times over,
//! once for each core: a reader takes the shared lock of its key's shard in its own copy, a cache line that
//! no other core writes to, and nothing else. (Linux had this as the big-reader lock.) All that two readers
//! of one module share is the module's own reference count.
//!
//! Whoever changes what is there (save, remove, pin, unpin, clear) first takes the lock of the one stock,
//! then of one shard at a time in each copy; so what the stock says and what the copies hold agree whenever
//! that lock is free, and the weight is exact. Modules are dropped when all locks are released: that may
//! take long, and may call the cache.

use std::fmt;
use std::mem;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use module_cache_core::{CacheError, CacheStats, Engine, ModuleCache, ModuleHash, SaveOutcome};
use parking_lot::{Mutex, RwLock};

use crate::key::{Key, KeyMap};
use crate::load_counter::LoadCounter;
use crate::padded::Padded;
use crate::stock::Stock;
use crate::thread_lane::thread_lane;

/// A cache of live modules for all threads, bounded by weight.
///
/// It is a handle: clones share the modules. A hit takes a shared lock, clones the module and allocates
/// nothing; modules are `Send + Sync` where threads share the cache. What leaves when room is needed is
/// told in the [crate's documentation](crate).
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
                copies: (0..copies()).map(|_| Copy::default()).collect(),
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
            self.state.loads.miss(thread_lane());
        }
        Ok(found)
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        Ok(self.state.contains(&Key::new(key, engine), thread_lane()))
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
        Ok(!removed.is_empty())
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        let lane = thread_lane();
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

/// How many copies of the map there are: a power of two, because a hit divides by it.
fn copies() -> usize {
    // A save writes to all of them.
    thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(16)
        .next_power_of_two()
}

/// Enough that threads which share a copy, and a save among them, seldom meet.
const SHARDS: usize = 16;

type Shard<M> = RwLock<KeyMap<Resident<M>>>;

/// One copy of the map.
struct Copy<M>([Padded<Shard<M>>; SHARDS]);

struct State<M> {
    copies: Box<[Copy<M>]>,
    loads: LoadCounter,
    stock: Mutex<Stock>,
}

struct Resident<M> {
    module: M,
    visited: AtomicBool,
}

impl<M: Clone> State<M> {
    fn get(&self, key: &Key, lane: usize) -> Option<M> {
        let shard = self.own_shard(key, lane).read();
        let resident = shard.get(key)?;
        // A line that is only read stays in the core's cache.
        if !resident.visited.load(Ordering::Relaxed) {
            resident.visited.store(true, Ordering::Relaxed);
        }
        Some(resident.module.clone())
    }

    fn insert(&self, key: Key, weight: u64, module: M) -> SaveOutcome {
        // What is not kept, `module` included, must outlive the lock: it is declared before.
        let mut evicted = Vec::new();
        let mut stock = self.stock.lock();
        let victims = match stock.save(key, weight, |key| self.take_visited(key)) {
            Ok(victims) => victims,
            Err(reason) => return SaveOutcome::Skipped(reason),
        };
        for victim in &victims {
            evicted.extend(self.take(victim));
        }
        for copy in &self.copies {
            let resident = Resident {
                module: module.clone(),
                visited: AtomicBool::new(false),
            };
            copy.shard(&key).write().insert(key, resident);
        }
        SaveOutcome::Stored { bytes: weight }
    }

    /// Takes a module out, in all its copies.
    fn remove(&self, key: &Key) -> Vec<Resident<M>> {
        let mut stock = self.stock.lock();
        stock.remove(key);
        self.take(key).collect()
    }

    fn take_all(&self) -> Vec<KeyMap<Resident<M>>> {
        let mut stock = self.stock.lock();
        stock.clear();
        let shards = self.copies.iter().flat_map(|copy| &copy.0);
        shards.map(|shard| mem::take(&mut *shard.write())).collect()
    }
}

impl<M> State<M> {
    fn contains(&self, key: &Key, lane: usize) -> bool {
        self.own_shard(key, lane).read().contains_key(key)
    }

    /// The key's shard in the copy of the thread whose lane this is.
    fn own_shard(&self, key: &Key, lane: usize) -> &Shard<M> {
        self.copies[lane & (self.copies.len() - 1)].shard(key)
    }

    fn take(&self, key: &Key) -> impl Iterator<Item = Resident<M>> {
        let copies = self.copies.iter();
        copies.filter_map(|copy| copy.shard(key).write().remove(key))
    }

    fn take_visited(&self, key: &Key) -> bool {
        self.copies.iter().fold(false, |visited, copy| {
            let shard = copy.shard(key).read();
            let resident = shard.get(key);
            visited | resident.is_some_and(|one| one.visited.swap(false, Ordering::Relaxed))
        })
    }
}

impl<M> Copy<M> {
    fn shard(&self, key: &Key) -> &Shard<M> {
        &self.0[usize::from(key.shard()) % SHARDS]
    }
}

impl<M> Default for Copy<M> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Padded::default()))
    }
}
