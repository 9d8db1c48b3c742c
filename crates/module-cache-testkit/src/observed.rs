//! A wrapper that counts, holds and breaks calls.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::entry::Promotion;
use module_cache_core::permit::CompilePermit;
use module_cache_core::{
    CacheError, Engine, EngineId, EntryKey, EntryStore, FoundModule, ModuleCache, ModuleHash,
    SaveOutcome, SealedEntry,
};
use parking_lot::Mutex;

use crate::hold::{Gate, Hold};

/// A cache or store whose calls a test counts, holds and breaks, one method at a time.
///
/// A call is counted, then held, then broken; if it is not broken, it is passed on to the wrapped cache. The store that
/// [`entries`](ModuleCache::entries) returns is the inner cache's and not observed: to observe it, wrap the store inside of
/// a [`StoreCache`](module_cache_core::StoreCache).
///
/// ```
/// use module_cache_core::{Compile, ModuleCache, ModuleHash};
/// use module_cache_testkit::{Fault, Method, Observed, ReferenceCache, TestEngine, wasm};
///
/// let engine = TestEngine::new("example");
/// let module = engine.compile(&wasm(1, 100))?;
/// let cache = Observed::new(ReferenceCache::new());
/// cache.inject(Method::Save, Fault::Error);
/// assert!(cache.save(ModuleHash::of(module.wasm()), &engine, &module).is_err());
/// assert_eq!(cache.calls(Method::Save), 1);
/// # Ok::<(), module_cache_core::EngineError>(())
/// ```
#[derive(Debug, Default)]
pub struct Observed<C> {
    inner: C,
    points: [Point; Method::COUNT],
}

/// A method of [`ModuleCache`] or [`EntryStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// [`ModuleCache::load`] and [`find`](ModuleCache::find), [`EntryStore::get`],
    /// [`get_first`](EntryStore::get_first) and [`promote`](EntryStore::promote).
    Load,
    /// [`ModuleCache::load_resident`]. Broken by an error, it returns `None`.
    LoadResident,
    /// [`ModuleCache::contains`] and [`EntryStore::exists`].
    Contains,
    /// [`ModuleCache::save`] and [`EntryStore::put`].
    Save,
    /// [`ModuleCache::remove`] and [`EntryStore::delete`].
    Remove,
    /// [`ModuleCache::compile_permit`] and [`EntryStore::permit`].
    CompilePermit,
    /// [`EntryStore::rejected`]. Broken by an error, it is not passed on.
    Rejected,
    /// [`ModuleCache::flush`] and [`EntryStore::sync`].
    Flush,
}

impl Method {
    const COUNT: usize = Self::Flush as usize + 1;
}

/// How a method is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It returns an error and does nothing.
    Error,
    /// It panics.
    Panic,
}

impl<C> Observed<C> {
    /// Wraps a cache or store.
    pub fn new(inner: C) -> Self {
        Self {
            inner,
            points: Default::default(),
        }
    }

    /// The wrapped cache or store.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// How often the method was called.
    pub fn calls(&self, method: Method) -> u64 {
        self.at(method).calls.load(Ordering::SeqCst)
    }

    /// Holds calls of the method, after they are counted, until the [`Hold`] is dropped.
    pub fn hold(&self, method: Method) -> Hold {
        self.at(method).gate.hold()
    }

    /// Breaks the method from now on.
    pub fn inject(&self, method: Method, fault: Fault) {
        *self.at(method).fault.lock() = Some(fault);
    }

    /// Lets the method work again.
    pub fn heal(&self, method: Method) {
        *self.at(method).fault.lock() = None;
    }

    fn at(&self, method: Method) -> &Point {
        &self.points[method as usize]
    }

    fn enter(&self, method: Method) -> Result<(), CacheError> {
        let point = self.at(method);
        point.calls.fetch_add(1, Ordering::SeqCst);
        point.gate.pass();
        let fault = *point.fault.lock();
        match fault {
            None => Ok(()),
            Some(Fault::Error) => Err(CacheError::backend(
                "observed cache",
                "work",
                format!("a fault was injected into {method:?}"),
            )),
            Some(Fault::Panic) => panic!("a fault was injected into {method:?}"),
        }
    }
}

#[derive(Debug, Default)]
struct Point {
    calls: AtomicU64,
    gate: Arc<Gate>,
    fault: Mutex<Option<Fault>>,
}

#[deny(clippy::missing_trait_methods)]
impl<E: Engine, C: ModuleCache<E>> ModuleCache<E> for Observed<C> {
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError> {
        self.enter(Method::Load)?;
        self.inner.load(hash, engine)
    }

    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        self.enter(Method::Load)?;
        self.inner.find(hash, engine)
    }

    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.enter(Method::Contains)?;
        self.inner.contains(hash, engine)
    }

    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError> {
        self.enter(Method::Save)?;
        self.inner.save(hash, engine, module)
    }

    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError> {
        self.enter(Method::Remove)?;
        self.inner.remove(hash, engine)
    }

    fn load_resident(&self, hash: ModuleHash, engine: &E) -> Option<E::Module> {
        self.enter(Method::LoadResident).ok()?;
        self.inner.load_resident(hash, engine)
    }

    fn compile_permit(&self, hash: ModuleHash, engine: &E) -> Result<CompilePermit, CacheError> {
        self.enter(Method::CompilePermit)?;
        self.inner.compile_permit(hash, engine)
    }

    fn entries(&self) -> Option<&dyn EntryStore> {
        self.inner.entries()
    }

    fn storages(&self) -> Vec<&dyn EntryStore> {
        self.inner.storages()
    }

    fn load_sealed(
        &self,
        hash: ModuleHash,
        engine: &E,
        entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        self.inner.load_sealed(hash, engine, entry)
    }

    fn flush(&self) -> Result<(), CacheError> {
        self.enter(Method::Flush)?;
        self.inner.flush()
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: EntryStore> EntryStore for Observed<S> {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.enter(Method::Load)?;
        self.inner.get(key)
    }

    fn get_first(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
    ) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.enter(Method::Load)?;
        self.inner.get_first(key, accepted)
    }

    fn promote(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, CacheError> {
        self.enter(Method::Load)?;
        self.inner.promote(key, accepted, to)
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        self.enter(Method::Save)?;
        self.inner.put(key, entry)
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.enter(Method::Contains)?;
        self.inner.exists(key)
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.enter(Method::Remove)?;
        self.inner.delete(key)
    }

    fn permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        self.enter(Method::CompilePermit)?;
        self.inner.permit(key)
    }

    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        if self.enter(Method::Rejected).is_ok() {
            self.inner.rejected(key, reason);
        }
    }

    fn offer(&self, key: &EntryKey, from: &dyn EntryStore) {
        self.inner.offer(key, from);
    }

    fn handle(&self) -> Option<Box<dyn EntryStore + Send + Sync>> {
        self.inner.handle()
    }

    fn sync(&self) -> Result<(), CacheError> {
        self.enter(Method::Flush)?;
        self.inner.sync()
    }
}
