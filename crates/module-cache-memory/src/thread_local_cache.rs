//! The cache in which every thread has modules of its own.
//!
//! A handle holds no modules, so it may be sent and shared when they may not. They are in a thread-local list, which
//! finds them by the handle's identity; the part that was looked at last is found without the list. A module is cloned
//! during a look, so its `Clone` may load from the cache; what would change the cache does nothing meanwhile. A module
//! is dropped when nothing is borrowed, so its `Drop` may do anything.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use module_cache_core::instance::EngineInstance;
use module_cache_core::{
    CacheError, CacheStats, Engine, ModuleCache, ModuleHash, SaveOutcome, SkipReason,
};

use crate::accounting::{Accounting, Cost};
use crate::descriptors;
use crate::key::{Key, KeyMap, give_back_memory};

/// A cache of live modules in which each thread has its own, bounded by weight and by file descriptors in each thread.
///
/// It is a handle, `Send`, `Sync` and `Clone` even where modules are neither `Send` nor `Sync`; what one thread saves is a
/// miss in all others. Nothing is locked. All methods of a handle work on the modules of the calling thread.
///
/// Modules are freed when they are evicted, when their thread ends, and when the last clone of the handle or of their
/// engine is dropped: in the thread that drops it at once, unless a module is being cloned there, and in another thread
/// with its next call of any `ThreadLocalCache` that is not a hit. While a thread ends and has freed its modules, its loads
/// are misses and its saves are skipped with [`SkipReason::NoSpace`].
///
/// Saving a module that the cache has already keeps the old one. The [crate's documentation](crate) describes which modules
/// are evicted.
///
/// # Contract
///
/// A module's `Clone` may load from the cache, and must not change it: while a load clones a module, a save is skipped with
/// [`SkipReason::Busy`], and a removal does nothing. A module's `Drop` must not panic: modules that were to be dropped with
/// it may then be leaked.
pub struct ThreadLocalCache<E: Engine> {
    handle: Arc<Handle>,
    /// Shared and sent like a function, as it holds none of the engine's values; and of this very type: a cache that
    /// became one of a subtype or a supertype would take its modules for those of another engine.
    engine: PhantomData<fn(E) -> E>,
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

    /// An empty cache like this one, whose modules hold at most `count` file descriptors together in each thread, as
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

    /// Drops this thread's modules. Modules that were loaded before stay usable.
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

    /// The total weight of this thread's modules in bytes, within the bound of the cache.
    pub fn weight(&self) -> u64 {
        self.look(|modules| modules.accounting.total().weight)
            .unwrap_or(0)
    }

    /// How many file descriptors this thread's modules hold together.
    pub fn descriptors(&self) -> u64 {
        self.look(|modules| modules.accounting.total().descriptors)
            .unwrap_or(0)
    }

    /// What this thread has done since the cache was created, through all handles.
    ///
    /// [`load_resident`](ModuleCache::load_resident) counts its hits and not its misses, because its
    /// callers go on to [`load`](ModuleCache::load). A miss in a thread's first load is not counted if a module's `Clone`
    /// makes it.
    pub fn stats(&self) -> CacheStats {
        self.look(Modules::stats).unwrap_or_default()
    }

    /// Looks at this thread's modules; `None` if it has had none, or ends.
    fn look<T>(&self, look: impl FnOnce(&Modules<E::Module>) -> T) -> Option<T> {
        free_orphans();
        self.look_first().map(|modules| look(&modules))
    }

    /// Looks without freeing what could be freed.
    #[inline]
    fn look_first(&self) -> Option<Look<'_, E::Module>> {
        if RECENT.with(|recent| recent.of.get()) != address(&self.handle) {
            find(&self.handle)?;
        }
        let modules: *const Modules<E::Module> = RECENT.with(Recent::start_look).cast();
        #[expect(
            unsafe_code,
            reason = "the modules are found and borrowed without asking the list"
        )]
        // SAFETY: `RECENT` is of this thread and has the handle's address, so it points to what `modules_of` made for
        // a handle at that address. The part holds a weak one, so no other handle has had that address since, and a
        // handle is made for one engine type, which the clones of a cache share. Whatever changes or frees parts does
        // it through `Caches::change`, which forgets what is in `RECENT`, and not during a look.
        Some(Look(unsafe { &*modules }))
    }

    /// Changes this thread's modules; `None` while the thread ends, or clones one of them. What `change` takes out of
    /// them it must return, to be dropped when they are no longer borrowed.
    fn change<T>(&self, change: impl FnOnce(&mut Modules<E::Module>) -> T) -> Option<T> {
        THREAD
            .try_with(|thread| {
                thread.free_orphans();
                thread.change(|parts| change(modules_of(parts, &self.handle)))
            })
            .ok()?
    }
}

impl<E: Engine> ModuleCache<E> for ThreadLocalCache<E> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        let key = Key::new(hash, engine);
        let Some(modules) = self.look_first() else {
            // The first load of this thread, or it ends.
            self.change(|modules| *modules.misses.get_mut() += 1);
            return Ok(None);
        };
        let found = modules.get(&key);
        if found.is_none() {
            modules.misses.set(modules.misses.get() + 1);
            drop(modules);
            free_orphans();
        }
        Ok(found)
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let key = Key::new(hash, engine);
        let found = self.look(|modules| modules.map.contains_key(&key));
        Ok(found == Some(true))
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

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let key = Key::new(hash, engine);
        let removed = self.change(|modules| modules.remove(&key));
        Ok(removed.flatten().is_some())
    }

    fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
        let key = Key::new(hash, engine);
        let found = self.look_first().and_then(|modules| modules.get(&key));
        if found.is_none() {
            free_orphans();
        }
        found
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
///
/// ```compile_fail,E0308
/// use module_cache_core::instance::EngineInstance;
/// use module_cache_core::{Engine, EngineId};
/// use module_cache_memory::ThreadLocalCache;
///
/// struct Of<F>(EngineId, EngineInstance, Option<F>);
///
/// impl<F: Clone + 'static> Engine for Of<F> {
///     type Module = F;
///
///     fn id(&self) -> &EngineId {
///         &self.0
///     }
///
///     fn instance(&self) -> &EngineInstance {
///         &self.1
///     }
/// }
///
/// fn keeps(cache: ThreadLocalCache<Of<fn(&'static str)>>) -> ThreadLocalCache<Of<for<'a> fn(&'a str)>> {
///     cache
/// }
/// ```
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

/// Frees what this thread has of handles and engines that are gone; nothing in a thread that has freed all it had.
#[inline]
fn free_orphans() {
    let _ = THREAD.try_with(Caches::free_orphans);
}

fn something_ended() {
    ENDED.fetch_add(1, Ordering::Release);
    // Other threads free theirs when they come by; one that is ending has freed them.
    free_orphans();
}

thread_local! {
    static THREAD: Caches = const {
        Caches {
            parts: RefCell::new(Vec::new()),
            swept: Cell::new(0),
        }
    };

    /// Apart from what owns the modules, because this has no destructor, which every hit would have to check.
    static RECENT: Recent = const {
        Recent {
            of: Cell::new(NONE),
            modules: Cell::new(ptr::null()),
            looks: Cell::new(0),
        }
    };
}

/// This thread's part of all caches.
struct Caches {
    parts: RefCell<Vec<Part>>,
    /// What [`ENDED`] was when the parts were last swept.
    swept: Cell<u64>,
}

/// The part that was looked at last.
struct Recent {
    /// The address of its handle, or [`NONE`].
    of: Cell<usize>,
    /// Its `Modules`, of the handle's engine.
    modules: Cell<*const ()>,
    /// How many looks go on, each in the `Clone` of the one before.
    looks: Cell<usize>,
}

/// The address of no handle.
const NONE: usize = 0;

/// Makes the part of a handle the recent one, if this thread has one and does not end.
#[cold]
fn find(handle: &Arc<Handle>) -> Option<()> {
    THREAD
        .try_with(|thread| {
            let parts = thread.parts.try_borrow().ok()?;
            let part = parts.iter().find(|part| part.of == address(handle))?;
            let modules = &raw const *part.modules;
            RECENT.with(|recent| {
                recent.modules.set(modules.cast());
                recent.of.set(part.of);
            });
            Some(())
        })
        .ok()?
}

impl Recent {
    fn start_look(&self) -> *const () {
        self.looks.set(self.looks.get() + 1);
        self.modules.get()
    }

    fn end_look(&self) {
        self.looks.set(self.looks.get() - 1);
    }
}

/// While it lives, no part is changed.
struct Look<'a, M>(&'a Modules<M>);

impl<M> Deref for Look<'_, M> {
    type Target = Modules<M>;

    #[inline]
    fn deref(&self) -> &Modules<M> {
        self.0
    }
}

impl<M> Drop for Look<'_, M> {
    #[inline]
    fn drop(&mut self) {
        RECENT.with(Recent::end_look);
    }
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
    /// Changes the parts, unless one of them is looked at. `change` must run nobody else's code.
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Part>) -> T) -> Option<T> {
        if RECENT.with(|recent| recent.looks.get()) > 0 {
            return None;
        }
        let mut parts = self.parts.try_borrow_mut().ok()?;
        RECENT.with(|recent| recent.of.set(NONE));
        Some(change(&mut parts))
    }

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
        let orphans = self.change(|parts| {
            self.swept.set(ended);
            let is_orphan = |part: &Part| part.owner.strong_count() == 0;
            let (of_caches, others): (Vec<_>, _) =
                mem::take(parts).into_iter().partition(is_orphan);
            *parts = others;
            let parts = parts.iter_mut();
            let of_engines: Vec<_> = parts.map(|part| part.modules.take_orphans()).collect();
            (of_caches, of_engines)
        });
        // While a module is cloned, nothing is freed: later, then.
        drop(orphans);
    }
}

impl Drop for Caches {
    fn drop(&mut self) {
        RECENT.with(|recent| recent.of.set(NONE));
    }
}

fn modules_of<'a, M: 'static>(
    parts: &'a mut Vec<Part>,
    handle: &Arc<Handle>,
) -> &'a mut Modules<M> {
    let place = parts
        .iter()
        .position(|part| part.of == address(handle))
        .unwrap_or_else(|| {
            parts.push(Part {
                of: address(handle),
                owner: Arc::downgrade(handle),
                modules: Box::new(Modules::<M>::new(handle.limit)),
            });
            parts.len() - 1
        });
    let modules: &mut dyn Any = &mut *parts[place].modules;
    modules
        .downcast_mut()
        .unwrap_or_else(|| unreachable!("all clones of a handle are of one engine type"))
}

/// One thread's modules of one cache.
struct Modules<M> {
    map: KeyMap<Resident<M>>,
    accounting: Accounting,
    hits: Cell<u64>,
    misses: Cell<u64>,
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
        let module = resident.module.clone();
        self.hits.set(self.hits.get() + 1);
        Some(module)
    }
}

impl<M> Modules<M> {
    fn new(limit: Cost) -> Self {
        Self {
            map: KeyMap::default(),
            accounting: Accounting::new(limit),
            hits: Cell::new(0),
            misses: Cell::new(0),
        }
    }

    fn stats(&self) -> CacheStats {
        let mut stats = self.accounting.stats();
        stats.hits = self.hits.get();
        stats.misses = self.misses.get();
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
