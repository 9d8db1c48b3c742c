//! Saving that nobody waits for.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use module_cache_core::{
    CacheError, CompilePermit, Engine, EntryStore, ModuleCache, ModuleHash, SaveOutcome,
    SealedEntry, SkipReason,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::{debug, warn};

/// How many modules may wait. They are alive while they do.
const MAX_PENDING: usize = 64;

/// A cache whose [`save`](ModuleCache::save) returns at once; a thread of its own does the work, in order.
///
/// Of those who ask a [`ModuleLoader`](crate::ModuleLoader) for a module, the one whose thread compiles it
/// gets it after it is saved: milliseconds later, most of them for the sync of a file. With this, nobody
/// waits. (Callers of `AsyncModuleLoader` do not in any case.) It belongs around the tiers that store, and
/// behind those in memory: `in_memory().with_fallback(WriteBehind::new(disk.with_fallback(remote)))`.
///
/// - **A module that waits is there**: its engine loads it; other engines of equal id wait until it is stored.
/// - **Permits** given before a save end after it, so other processes still find the module stored when they
///   have leave to compile it.
/// - **64 modules** may wait. Who saves another one does so itself.
/// - **Errors** are logged, the first as a warning, and the next [`flush`](ModuleCache::flush) returns one.
/// - **Dropping it** waits until all is stored. A process that is killed loses what waits, and nothing else.
///
/// ```
/// use module_cache_core::{Compile, ModuleCache, ModuleHash};
/// use module_cache_loader::WriteBehind;
/// # use module_cache_core::StoreCache;
/// # use module_cache_testkit::{ReferenceStore, TestEngine, wasm};
/// # let (engine, store, wasm) = (TestEngine::new("doc"), ReferenceStore::new(), wasm(1, 100));
///
/// let cache = WriteBehind::new(StoreCache(store));
/// let key = ModuleHash::of(&wasm);
/// assert!(cache.save(key, &engine, &engine.compile(&wasm)?)?.is_stored());
/// // From here on, another process finds it.
/// cache.flush()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WriteBehind<E: Engine, C> {
    shared: Arc<Shared<E, C>>,
    /// `None` once it was joined.
    worker: Option<JoinHandle<()>>,
}

impl<E, C> WriteBehind<E, C>
where
    E: Engine<Module: Send> + Clone + Send + 'static,
    C: ModuleCache<E> + Send + Sync + 'static,
{
    /// Saves behind the callers of `cache`.
    ///
    /// # Panics
    ///
    /// When the system gives no thread.
    pub fn new(cache: C) -> Self {
        let shared = Arc::new(Shared {
            cache,
            queue: Mutex::new(Queue::default()),
            changed: Condvar::new(),
        });
        let worker = thread::Builder::new().name("module-cache-saves".into());
        let works_for = Arc::clone(&shared);
        let worker = worker.spawn(move || works_for.work());
        Self {
            shared,
            worker: Some(worker.expect("the system gives a thread")),
        }
    }
}

impl<E: Engine, C> WriteBehind<E, C> {
    /// The cache that is saved to.
    pub fn inner(&self) -> &C {
        &self.shared.cache
    }
}

#[deny(clippy::missing_trait_methods)]
impl<E, C> ModuleCache<E> for WriteBehind<E, C>
where
    E: Engine<Module: Send> + Clone + Send + 'static,
    C: ModuleCache<E> + Send + Sync + 'static,
{
    fn load(&self, key: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        if let Some(module) = self.shared.pending(key, engine) {
            return Ok(Some(module));
        }
        self.shared.cache.load(key, engine)
    }

    fn contains(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        Ok(
            self.shared.pending(key, engine).is_some()
                || self.shared.cache.contains(key, engine)?,
        )
    }

    fn save(
        &self,
        key: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        let mut queue = self.shared.queue.lock();
        if queue.save_of(key, engine).is_some() {
            return Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored));
        }
        if queue.jobs.len() >= MAX_PENDING {
            drop(queue);
            return self.shared.cache.save(key, engine, module);
        }
        queue.push(Job::Save {
            key,
            engine: engine.clone(),
            module: module.clone(),
        });
        self.shared.changed.notify_all();
        Ok(SaveOutcome::Stored {
            bytes: engine.weight(module).unwrap_or(0),
        })
    }

    fn remove(&self, key: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        let mut queue = self.shared.queue.lock();
        self.shared.wait_for_save(&mut queue, key, engine);
        drop(queue);
        self.shared.cache.remove(key, engine)
    }

    fn load_resident(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        self.shared.cache.load_resident(key, engine)
    }

    fn compile_permit(&self, key: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        let permit = self.shared.cache.compile_permit(key, engine)?;
        Ok(match permit {
            CompilePermit::Exclusive(guard) => CompilePermit::exclusive(Held {
                shared: Arc::clone(&self.shared),
                guard: Some(guard),
            }),
            CompilePermit::Waited | CompilePermit::Uncoordinated => permit,
        })
    }

    /// None: what waits is not sealed yet.
    fn entries(&self) -> Option<&dyn EntryStore> {
        None
    }

    fn load_sealed(
        &self,
        key: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        self.shared.cache.load_sealed(key, engine, entry)
    }

    fn flush(&self) -> Result<(), CacheError> {
        let mut queue = self.shared.queue.lock();
        let accepted = queue.accepted;
        self.shared
            .changed
            .wait_while(&mut queue, |queue| queue.done < accepted);
        let failure = queue.failure.take();
        drop(queue);
        self.shared.cache.flush()?;
        failure.map_or(Ok(()), Err)
    }
}

impl<E: Engine, C> Drop for WriteBehind<E, C> {
    fn drop(&mut self) {
        self.shared.queue.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(worker) = self.worker.take() {
            // It catches the panics of the cache, and has none of its own.
            let _ = worker.join();
        }
    }
}

impl<E: Engine, C: fmt::Debug> fmt::Debug for WriteBehind<E, C> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("WriteBehind")
            .field("cache", &self.shared.cache)
            .field("pending", &self.shared.queue.lock().jobs.len())
            .finish_non_exhaustive()
    }
}

struct Shared<E: Engine, C> {
    cache: C,
    queue: Mutex<Queue<E>>,
    changed: Condvar,
}

struct Queue<E: Engine> {
    /// The first one is being done, if any is, and stays here until it is.
    jobs: VecDeque<Job<E>>,
    accepted: u64,
    done: u64,
    has_failed: bool,
    /// For the next flush.
    failure: Option<CacheError>,
    closed: bool,
}

enum Job<E: Engine> {
    Save {
        key: ModuleHash,
        engine: E,
        module: E::Module,
    },
    /// Ends a permit, whose module was saved before.
    Release(Option<Box<dyn Any + Send>>),
}

impl<E: Engine> Default for Queue<E> {
    fn default() -> Self {
        Self {
            jobs: VecDeque::new(),
            accepted: 0,
            done: 0,
            has_failed: false,
            failure: None,
            closed: false,
        }
    }
}

impl<E: Engine> Queue<E> {
    fn push(&mut self, job: Job<E>) {
        self.jobs.push_back(job);
        self.accepted += 1;
    }

    /// The engine and module of a save that waits or is under way, by an engine of equal id.
    fn save_of(&self, key: ModuleHash, engine: &E) -> Option<(&E, &E::Module)> {
        self.jobs.iter().find_map(|job| match job {
            Job::Save {
                key: its_key,
                engine: its_engine,
                module,
            } if *its_key == key && its_engine.id() == engine.id() => Some((its_engine, module)),
            _ => None,
        })
    }
}

impl<E: Engine, C> Shared<E, C> {
    /// The live module that waits to be saved, if it is this engine's; waits for that of another one.
    fn pending(&self, key: ModuleHash, engine: &E) -> Option<E::Module> {
        let mut queue = self.queue.lock();
        let (its_engine, module) = queue.save_of(key, engine)?;
        if its_engine.instance() == engine.instance() {
            return Some(module.clone());
        }
        self.wait_for_save(&mut queue, key, engine);
        None
    }

    fn wait_for_save(&self, queue: &mut MutexGuard<'_, Queue<E>>, key: ModuleHash, engine: &E) {
        let is_pending = |queue: &mut Queue<E>| queue.save_of(key, engine).is_some();
        self.changed.wait_while(queue, is_pending);
    }
}

impl<E, C> Shared<E, C>
where
    E: Engine + Clone,
    C: ModuleCache<E>,
{
    /// The worker: does one job after the other, until there is none and will be none.
    fn work(&self) {
        let mut queue = self.queue.lock();
        loop {
            let idle = |queue: &mut Queue<E>| queue.jobs.is_empty() && !queue.closed;
            self.changed.wait_while(&mut queue, idle);
            let done = match queue.jobs.front_mut() {
                None => return,
                Some(Job::Release(guard)) => {
                    let guard = guard.take();
                    MutexGuard::unlocked(&mut queue, || drop(guard));
                    Ok(())
                }
                Some(Job::Save {
                    key,
                    engine,
                    module,
                }) => {
                    let (key, engine, module) = (*key, engine.clone(), module.clone());
                    MutexGuard::unlocked(&mut queue, || self.save(key, &engine, &module))
                }
            };
            if let Err(error) = done {
                queue.failure = Some(error);
            }
            let job = queue.jobs.pop_front();
            queue.done += 1;
            self.changed.notify_all();
            // The last reference to a module may take a while to drop.
            MutexGuard::unlocked(&mut queue, || drop(job));
        }
    }

    fn save(&self, key: ModuleHash, engine: &E, module: &E::Module) -> Result<(), CacheError> {
        let saving = || self.cache.save(key, engine, module);
        let saved = catch_unwind(AssertUnwindSafe(saving)).unwrap_or_else(|_| {
            Err(CacheError::backend(
                "write-behind cache",
                "save",
                "the cache panicked",
            ))
        });
        match &saved {
            Ok(SaveOutcome::Stored { bytes }) => debug!(hash = %key, bytes, "saved"),
            Ok(SaveOutcome::Skipped(reason)) => debug!(hash = %key, %reason, "not saved"),
            Err(error) => {
                let first = !std::mem::replace(&mut self.queue.lock().has_failed, true);
                if first {
                    warn!(hash = %key, %error, "cannot save behind; going on without it");
                } else {
                    debug!(hash = %key, %error, "cannot save behind");
                }
            }
        }
        saved.map(drop)
    }
}

/// A permit that ends after what was saved before it ended.
struct Held<E: Engine, C> {
    shared: Arc<Shared<E, C>>,
    guard: Option<Box<dyn Any + Send>>,
}

impl<E: Engine, C> Drop for Held<E, C> {
    fn drop(&mut self) {
        let mut queue = self.shared.queue.lock();
        if !queue.jobs.is_empty() {
            queue.push(Job::Release(self.guard.take()));
            self.shared.changed.notify_all();
        }
    }
}
