//! The cache in which every thread has modules of its own.
//!
//! A handle holds no modules, so it may be sent and shared when they may not. They are in a thread-local list, which
//! finds them by the handle's identity. A module is cloned while the list is borrowed to be read, so its `Clone` may
//! load from the cache; what would change the cache does nothing meanwhile. A module is dropped when nothing is
//! borrowed, so its `Drop` may do anything.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use module_cache_core::{
    CacheError, CacheStats, Engine, EngineInstance, ModuleCache, ModuleHash, SaveOutcome,
    SkipReason,
};

use crate::accounting::{Accounting, Cost};
use crate::descriptors;
use crate::key::{Key, KeyMap, give_back_memory};

/// A cache of live modules of which each thread sees its own, bounded by weight and by file descriptors in each.
///
/// It is a handle, `Send`, `Sync` and `Clone` even where modules are neither `Send` nor `Sync`; what one
/// thread saves is a miss in all others. Nothing is locked. Everything that a handle does and says is
/// about the thread that calls it.
///
/// Modules are freed when they are evicted, when their thread ends, and when the last clone of the handle or of their
/// engine is dropped: at once in the thread that drops it, and in others when they next do anything with any
/// `ThreadLocalCache` but to hit.
/// While a thread ends, its loads are misses and its saves are skipped for [`SkipReason::NoSpace`].
///
/// Saving a module that is there keeps the one that is there. What leaves when room is needed is told in
/// the [crate's documentation](crate).
///
/// # Contract
///
/// A module's `Clone` may load from the cache, and must not change it: a save is skipped for [`SkipReason::Busy`]
/// there, and a removal does nothing. A module's `Drop` may do anything.
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
    ///
    /// If as many threads use it as there are cores, they hold at most half of the file descriptors that the process
    /// may have now.
    pub fn with_max_weight(bytes: u64) -> Self {
        let cores = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        Self::with_limit(Cost {
            weight: bytes,
            descriptors: descriptors::limit_of_process() / 2 / cores,
        })
    }

    /// An empty cache as this one, whose modules hold at most `count` file descriptors together in each thread, as
    /// [`Engine::descriptors`] counts them.
    #[must_use]
    pub fn with_max_descriptors(self, count: u64) -> Self {
        Self::with_limit(Cost {
            descriptors: count,
            ..self.handle.limit
        })
    }

    fn with_limit(limit: Cost) -> Self {
        Self {
            handle: Arc::new(Handle { limit }),
            engine: PhantomData,
        }
    }

    /// Forgets this thread's modules. Modules handed out before stay usable.
    pub fn clear(&self) {
        let modules = self.change(Modules::take_all);
        drop(modules);
    }

    /// How many modules this thread has.
    pub fn len(&self) -> usize {
        self.look(|modules| modules.accounting.len()).unwrap_or(0)
    }

    /// Whether this thread has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What this thread's modules weigh together, in bytes; never more than the cache was made for.
    pub fn weight(&self) -> u64 {
        self.look(|modules| modules.accounting.total().weight)
            .unwrap_or(0)
    }

    /// How many file descriptors this thread's modules hold together.
    pub fn descriptors(&self) -> u64 {
        self.look(|modules| modules.accounting.total().descriptors)
            .unwrap_or(0)
    }

    /// What this thread did since the cache was made, through all handles.
    ///
    /// [`load_resident`](ModuleCache::load_resident) counts its hits and not its misses, because its
    /// callers go on to [`load`](ModuleCache::load).
    pub fn stats(&self) -> CacheStats {
        self.look(Modules::stats).unwrap_or_default()
    }

    /// Looks at this thread's modules; `None` if it has had none, or ends.
    fn look<T>(&self, look: impl FnOnce(&Modules<E::Module>) -> T) -> Option<T> {
        let _ = THREAD.try_with(Caches::free_orphans);
        self.look_first(look)
    }

    /// Looks without freeing what could be freed.
    #[inline]
    fn look_first<T>(&self, look: impl FnOnce(&Modules<E::Module>) -> T) -> Option<T> {
        THREAD
            .try_with(|thread| {
                let list = thread.list.try_borrow().ok()?;
                // A program has few caches, so going through a list finds one faster than a map.
                let mut parts = list.iter();
                let part = parts.find(|part| part.of == address(&self.handle))?;
                let modules: *const dyn AnyModules = &raw const *part.modules;
                #[expect(
                    unsafe_code,
                    clippy::cast_ptr_alignment,
                    reason = "asking for the type takes a part of a hit, and it is known"
                )]
                // SAFETY: what is in a part was made by `modules_of` for its handle. A handle is made for one
                // engine type, which the clones of a cache share. No other handle has its address as long as the
                // part holds a weak one. The list is borrowed to be read meanwhile.
                let modules = unsafe { &*modules.cast::<Modules<E::Module>>() };
                Some(look(modules))
            })
            .ok()?
    }

    /// Changes this thread's modules; `None` while the thread ends, or clones one of them. What `change` takes out of
    /// them it must return, to be dropped when they are no longer borrowed.
    fn change<T>(&self, change: impl FnOnce(&mut Modules<E::Module>) -> T) -> Option<T> {
        THREAD
            .try_with(|thread| {
                thread.free_orphans();
                let mut list = thread.list.try_borrow_mut().ok()?;
                Some(change(modules_of(&mut list, &self.handle)))
            })
            .ok()?
    }
}

impl<E: Engine> ModuleCache<E> for ThreadLocalCache<E> {
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let found = self.load_resident(key, engine);
        if found.is_none() {
            self.change(|modules| modules.misses += 1);
        }
        Ok(found)
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let key = Key::new(key, engine);
        let found = self.look(|modules| modules.map.contains_key(&key));
        Ok(found == Some(true))
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let cost = Cost {
            weight: engine.weight(module).unwrap_or(0),
            descriptors: engine.descriptors(module).into(),
        };
        let key = Key::new(key, engine);
        let module = module.clone();
        let instance = engine.instance();
        let saved = self.change(|modules| modules.insert(key, cost, instance, module));
        let Some((outcome, evicted)) = saved else {
            let is_busy = THREAD.try_with(|_| ()).is_ok();
            return Ok(SaveOutcome::Skipped(if is_busy {
                SkipReason::Busy
            } else {
                SkipReason::NoSpace
            }));
        };
        drop(evicted);
        Ok(outcome)
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let key = Key::new(key, engine);
        let removed = self.change(|modules| modules.remove(&key));
        Ok(removed.flatten().is_some())
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        let key = Key::new(key, engine);
        self.look_first(|modules| modules.get(&key)).flatten()
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
            .field("max_weight", &self.handle.limit.weight)
            .field("descriptors", &self.descriptors())
            .field("max_descriptors", &self.handle.limit.descriptors)
            .finish()
    }
}

/// What the clones of a cache share: its identity, which is the address.
struct Handle {
    limit: Cost,
}

impl Drop for Handle {
    fn drop(&mut self) {
        something_ended();
    }
}

/// How many handles and engines are gone: what tells threads, at the price of one read, that there is something to
/// free.
static ENDED: AtomicU64 = AtomicU64::new(0);

fn something_ended() {
    ENDED.fetch_add(1, Ordering::Release);
    // Other threads free theirs when they come by; one that is ending has freed them.
    let _ = THREAD.try_with(Caches::free_orphans);
}

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
    /// What [`ENDED`] was when the list was last swept.
    swept: Cell<u64>,
}

/// This thread's modules of one cache. A weak handle keeps its address from being given to another.
struct Part {
    of: usize,
    owner: Weak<Handle>,
    modules: Box<dyn AnyModules>,
}

fn address(handle: &Arc<Handle>) -> usize {
    Arc::as_ptr(handle).addr()
}

/// Modules of whatever engine.
trait AnyModules: Any {
    /// Takes out the modules of engines that have ended.
    fn take_orphans(&mut self) -> Box<dyn Any>;
}

impl Caches {
    /// Frees the modules whose handle or engine is gone.
    #[inline]
    fn free_orphans(&self) {
        let ended = ENDED.load(Ordering::Acquire);
        if self.swept.get() != ended {
            self.sweep(ended);
        }
    }

    #[cold]
    fn sweep(&self, ended: u64) {
        // While a module is cloned, nothing is freed: later, then.
        let Ok(mut list) = self.list.try_borrow_mut() else {
            return;
        };
        self.swept.set(ended);
        let is_orphan = |part: &mut Part| part.owner.strong_count() == 0;
        let of_caches: Vec<_> = list.extract_if(.., is_orphan).collect();
        let of_engines: Vec<_> = list
            .iter_mut()
            .map(|part| part.modules.take_orphans())
            .collect();
        drop(list);
        drop((of_caches, of_engines));
    }
}

fn modules_of<'a, M: 'static>(list: &'a mut Vec<Part>, handle: &Arc<Handle>) -> &'a mut Modules<M> {
    let place = list
        .iter()
        .position(|part| part.of == address(handle))
        .unwrap_or_else(|| {
            list.push(Part {
                of: address(handle),
                owner: Arc::downgrade(handle),
                modules: Box::new(Modules::<M>::new(handle.limit)),
            });
            list.len() - 1
        });
    let modules: &mut dyn Any = &mut *list[place].modules;
    modules
        .downcast_mut()
        .unwrap_or_else(|| unreachable!("all clones of a handle are of one engine type"))
}

/// One thread's modules of one cache.
struct Modules<M> {
    map: KeyMap<Resident<M>>,
    accounting: Accounting,
    hits: Cell<u64>,
    misses: u64,
}

struct Resident<M> {
    module: M,
    visited: Cell<bool>,
}

impl<M: Clone> Modules<M> {
    #[inline]
    fn get(&self, key: &Key) -> Option<M> {
        let resident = self.map.get(key)?;
        if !resident.visited.get() {
            resident.visited.set(true);
        }
        self.hits.set(self.hits.get() + 1);
        Some(resident.module.clone())
    }
}

impl<M> Modules<M> {
    fn new(limit: Cost) -> Self {
        Self {
            map: KeyMap::default(),
            accounting: Accounting::new(limit),
            hits: Cell::new(0),
            misses: 0,
        }
    }

    fn stats(&self) -> CacheStats {
        let mut stats = self.accounting.stats();
        stats.hits = self.hits.get();
        stats.misses = self.misses;
        stats
    }

    /// Also returns the modules to be dropped: those that were evicted to make room, or the one that was not kept.
    fn insert(
        &mut self,
        key: Key,
        cost: Cost,
        engine: &EngineInstance,
        module: M,
    ) -> (SaveOutcome, Vec<M>) {
        let map = &self.map;
        let take_visited = |key: &Key| map.get(key).is_some_and(|resident| resident.visited.take());
        let handle = || engine.when_dropped(something_ended);
        let saved = self
            .accounting
            .save(key, cost, engine, take_visited, handle);
        let victims = match saved {
            Ok(victims) => victims,
            Err(reason) => return (SaveOutcome::Skipped(reason), vec![module]),
        };
        let evicted = self.take_out(&victims);
        let resident = Resident {
            module,
            visited: Cell::new(false),
        };
        self.map.insert(key, resident);
        let bytes = cost.weight;
        (SaveOutcome::Stored { bytes }, evicted)
    }

    fn remove(&mut self, key: &Key) -> Option<M> {
        self.accounting.remove(key);
        self.take_out([key]).pop()
    }

    fn take_all(&mut self) -> KeyMap<Resident<M>> {
        self.accounting.clear();
        mem::take(&mut self.map)
    }

    fn take_out<'k>(&mut self, keys: impl IntoIterator<Item = &'k Key>) -> Vec<M> {
        let keys = keys.into_iter();
        let taken = keys.filter_map(|key| self.map.remove(key));
        let taken = taken.map(|resident| resident.module).collect();
        give_back_memory(&mut self.map);
        taken
    }
}

impl<M: 'static> AnyModules for Modules<M> {
    fn take_orphans(&mut self) -> Box<dyn Any> {
        let keys = self.accounting.forget_ended_engines();
        Box::new(self.take_out(&keys))
    }
}
