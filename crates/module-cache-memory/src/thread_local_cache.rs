//! The cache in which every thread has modules of its own.
//!
//! A handle holds no modules, so it may be sent and shared when they may not. They lie in a thread-local
//! list, which finds them by the handle's identity. No code of an engine (a module's `Clone` or `Drop`)
//! ever runs while the list is borrowed, so such code may call the cache.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use module_cache_core::{
    CacheError, CacheStats, Engine, ModuleCache, ModuleHash, SaveOutcome, SkipReason,
};

use crate::key::{Key, KeyMap};
use crate::stock::Stock;

/// A cache of live modules of which each thread sees its own, bounded by weight in each.
///
/// It is a handle, `Send`, `Sync` and `Clone` even where modules are neither `Send` nor `Sync`; what one
/// thread saves is a miss in all others. Nothing is locked. Everything that a handle does and says is
/// about the thread that calls it.
///
/// Modules are freed when they are evicted, when their thread ends, and, once the last clone of the handle
/// is gone, when their thread next uses any `ThreadLocalCache` (at once in the thread that dropped it).
/// While a thread ends, its loads are misses and its saves are skipped for [`SkipReason::NoSpace`].
///
/// Saving a module that is there keeps the one that is there. What leaves when room is needed is told in
/// the [crate's documentation](crate).
pub struct ThreadLocalCache<E: Engine> {
    handle: Arc<Handle>,
    /// Shared and sent like a function: it holds none of the engine's values.
    engine: PhantomData<fn(&E)>,
}

impl<E: Engine> ThreadLocalCache<E> {
    /// An empty cache whose modules weigh at most 256 MiB together in each thread.
    pub fn new() -> Self {
        Self::with_max_weight(256 << 20)
    }

    /// An empty cache whose modules weigh at most `bytes` together in each thread, as [`Engine::weight`]
    /// weighs them.
    pub fn with_max_weight(bytes: u64) -> Self {
        Self {
            handle: Arc::new(Handle { max_weight: bytes }),
            engine: PhantomData,
        }
    }

    /// Forgets this thread's modules. Modules handed out before stay usable.
    pub fn clear(&self) {
        let modules = self.with_modules(Modules::take_all);
        drop(modules);
    }

    /// How many modules this thread has.
    pub fn len(&self) -> usize {
        self.with_modules(|modules| modules.stock.len())
            .unwrap_or(0)
    }

    /// Whether this thread has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What this thread's modules weigh together, in bytes; never more than the cache was made for.
    pub fn weight(&self) -> u64 {
        self.with_modules(|modules| modules.stock.weight())
            .unwrap_or(0)
    }

    /// What this thread did since the cache was made, through all handles.
    ///
    /// [`load_resident`](ModuleCache::load_resident) counts its hits and not its misses, because its
    /// callers go on to [`load`](ModuleCache::load).
    pub fn stats(&self) -> CacheStats {
        self.with_modules(|modules| modules.stats())
            .unwrap_or_default()
    }

    /// Lets `act` work on this thread's modules; `None` while the thread ends. What `act` takes out of
    /// them it must return, to be dropped when they are no longer borrowed.
    fn with_modules<T>(&self, act: impl FnOnce(&mut Modules<E::Module>) -> T) -> Option<T> {
        THREAD
            .try_with(|caches| {
                caches.free_orphans();
                act(modules_of(&mut caches.list.borrow_mut(), &self.handle))
            })
            .ok()
    }
}

impl<E: Engine> ModuleCache<E> for ThreadLocalCache<E> {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let found = self.load_resident(key, engine);
        if found.is_none() {
            self.with_modules(|modules| modules.misses += 1);
        }
        Ok(found)
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let key = Key::new(key, engine);
        let found = self.with_modules(|modules| modules.map.contains_key(&key));
        Ok(found == Some(true))
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let weight = engine.weight(module).unwrap_or(0);
        let key = Key::new(key, engine);
        let module = Rc::new(module.clone());
        let saved = self.with_modules(|modules| modules.insert(key, weight, &module));
        Ok(saved.map_or(
            SaveOutcome::Skipped(SkipReason::NoSpace),
            |(outcome, _evicted)| outcome,
        ))
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let key = Key::new(key, engine);
        let removed = self.with_modules(|modules| modules.remove(&key));
        Ok(removed.flatten().is_some())
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        let key = Key::new(key, engine);
        let module = self.with_modules(|modules| modules.get(&key))??;
        Some(E::Module::clone(&module))
    }
}

impl<E: Engine> Clone for ThreadLocalCache<E> {
    fn clone(&self) -> Self {
        Self {
            handle: Arc::clone(&self.handle),
            engine: PhantomData,
        }
    }
}

impl<E: Engine> Default for ThreadLocalCache<E> {
    fn default() -> Self {
        Self::new()
    }
}

/// The numbers are this thread's.
impl<E: Engine> fmt::Debug for ThreadLocalCache<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ThreadLocalCache")
            .field("len", &self.len())
            .field("weight", &self.weight())
            .field("max_weight", &self.handle.max_weight)
            .finish()
    }
}

/// What the clones of a cache share: its identity, which is the address.
struct Handle {
    max_weight: u64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        ORPHANED.fetch_add(1, Ordering::Release);
        // Other threads free theirs when they come by; one that is ending has freed them.
        let _ = THREAD.try_with(Caches::free_orphans);
    }
}

/// How many handles are gone: what tells threads, at the price of one read, that there is something to
/// free.
static ORPHANED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static THREAD: Caches = const {
        Caches {
            list: RefCell::new(Vec::new()),
            swept: Cell::new(0),
        }
    };
}

/// This thread's part of all caches.
struct Caches {
    list: RefCell<Vec<Part>>,
    /// What [`ORPHANED`] was when the list was last swept.
    swept: Cell<u64>,
}

/// This thread's modules of one cache. A weak handle keeps its address from being given to another.
struct Part {
    owner: Weak<Handle>,
    modules: Box<dyn Any>,
}

impl Caches {
    /// Frees the modules whose handle is gone.
    #[inline]
    fn free_orphans(&self) {
        let orphaned = ORPHANED.load(Ordering::Acquire);
        if self.swept.replace(orphaned) != orphaned {
            self.sweep();
        }
    }

    #[cold]
    fn sweep(&self) {
        let mut list = self.list.borrow_mut();
        let is_orphan = |part: &mut Part| part.owner.strong_count() == 0;
        let orphans: Vec<_> = list.extract_if(.., is_orphan).collect();
        drop(list);
        drop(orphans);
    }
}

/// A program has few caches, so going through a list finds one faster than a map.
fn modules_of<'a, M: 'static>(list: &'a mut Vec<Part>, handle: &Arc<Handle>) -> &'a mut Modules<M> {
    let place = list
        .iter()
        .position(|part| part.owner.as_ptr() == Arc::as_ptr(handle))
        .unwrap_or_else(|| {
            list.push(Part {
                owner: Arc::downgrade(handle),
                modules: Box::new(Modules::<M>::new(handle.max_weight)),
            });
            list.len() - 1
        });
    list[place]
        .modules
        .downcast_mut()
        .unwrap_or_else(|| unreachable!("all clones of a handle are of one engine type"))
}

/// One thread's modules of one cache.
struct Modules<M> {
    map: KeyMap<Resident<M>>,
    stock: Stock,
    hits: u64,
    misses: u64,
}

struct Resident<M> {
    /// Counted, so that it can be cloned or dropped when the list is no longer borrowed.
    module: Rc<M>,
    visited: bool,
}

impl<M> Modules<M> {
    fn new(max_weight: u64) -> Self {
        Self {
            map: KeyMap::default(),
            stock: Stock::new(max_weight),
            hits: 0,
            misses: 0,
        }
    }

    fn stats(&self) -> CacheStats {
        let mut stats = self.stock.stats();
        stats.hits = self.hits;
        stats.misses = self.misses;
        stats
    }

    fn get(&mut self, key: &Key) -> Option<Rc<M>> {
        let resident = self.map.get_mut(key)?;
        resident.visited = true;
        self.hits += 1;
        Some(Rc::clone(&resident.module))
    }

    /// Also returns what was evicted to make room.
    fn insert(&mut self, key: Key, weight: u64, module: &Rc<M>) -> (SaveOutcome, Vec<Rc<M>>) {
        let map = &mut self.map;
        let victims = self.stock.save(key, weight, |key| {
            map.get_mut(key)
                .is_some_and(|resident| mem::take(&mut resident.visited))
        });
        let victims = match victims {
            Ok(victims) => victims,
            Err(reason) => return (SaveOutcome::Skipped(reason), Vec::new()),
        };
        let evicted = victims
            .iter()
            .filter_map(|victim| map.remove(victim))
            .map(|resident| resident.module)
            .collect();
        let resident = Resident {
            module: Rc::clone(module),
            visited: false,
        };
        map.insert(key, resident);
        (SaveOutcome::Stored { bytes: weight }, evicted)
    }

    fn remove(&mut self, key: &Key) -> Option<Rc<M>> {
        self.stock.remove(key);
        Some(self.map.remove(key)?.module)
    }

    fn take_all(&mut self) -> KeyMap<Resident<M>> {
        self.stock.clear();
        mem::take(&mut self.map)
    }
}
