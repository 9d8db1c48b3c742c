//! The central trait: a cache of live modules.

use std::fmt::Debug;

use crate::permit::CompilePermit;
use crate::{CacheError, Engine, EntryStore, FoundModule, ModuleHash, SaveOutcome, SealedEntry};

/// A cache of modules of engine `E`.
///
/// It is synchronous and dyn-compatible: the hot path is a lookup of tens of nanoseconds, and the cold path ends in a
/// compilation that needs a blocking thread anyway. A cache evicts and invalidates modules by itself; callers only load and
/// save.
///
/// # Contract
///
/// Every implementation must keep this contract, which `module-cache-testkit` tests:
///
/// - A miss is `Ok(None)`. A corrupt, foreign or rejected entry is a miss that is counted and logged.
///   `Err` means that the cache itself could not work.
/// - What [`load`](Self::load) returns was saved under the same key by an engine of equal [`id`](Engine::id), or, if there
///   is none of its own, by one whose id is among the engine's [`accepted_ids`](Engine::accepted_ids). A live object was
///   saved by an engine of equal [`instance`](Engine::instance).
/// - A cache may drop any module at any time.
/// - No call panics because of what is in the storage, and a failed call leaves what was stored before.
///
/// Threads can share a cache that is `Sync`, as most are.
pub trait ModuleCache<E: Engine>: Debug {
    /// Looks up the module.
    ///
    /// # Errors
    ///
    /// When the cache cannot work, for instance because a disk fails; never because of one bad entry.
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError>;

    /// Like [`load`](Self::load), and returns the id that the module was stored under. The default calls `load`, for a
    /// cache that stores nothing; a cache over a store calls [`load_entry`](crate::entry::load_entry).
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    fn find(
        &self,
        hash: ModuleHash,
        engine: &E,
    ) -> Result<Option<FoundModule<E::Module>>, CacheError> {
        Ok(self.load(hash, engine)?.map(FoundModule::own))
    }

    /// Whether a load would probably succeed. This is a hint: the entry may be removed or found damaged a moment later.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError>;

    /// Keeps the module for later loads.
    ///
    /// # Errors
    ///
    /// When the cache cannot work, or the engine cannot serialize the module. If there is no room for the module, the
    /// outcome is [`SaveOutcome::Skipped`]. A cache that saves in the background returns errors from
    /// [`flush`](Self::flush).
    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError>;

    /// Removes the module of the engine's own id and returns whether there was one. Modules that were loaded before stay
    /// usable.
    ///
    /// # Errors
    ///
    /// When the cache cannot work.
    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError>;

    /// Like [`load`](Self::load), but without I/O and waiting: finds only a module that is alive in this process. The
    /// default finds none.
    fn load_resident(&self, _hash: ModuleHash, _engine: &E) -> Option<E::Module> {
        None
    }

    /// Asks for a permit to compile `key`, which one of all processes that share this storage holds at a time. Never waits
    /// for another holder. The default does not coordinate.
    ///
    /// # Errors
    ///
    /// When the storage fails; the caller then compiles without a permit.
    fn compile_permit(&self, _hash: ModuleHash, _engine: &E) -> Result<CompilePermit, CacheError> {
        Ok(CompilePermit::Uncoordinated)
    }

    /// The sealed entries behind this cache, if it keeps any. Through it, layers pass on bytes instead of serializing a
    /// module again. The default has none.
    fn entries(&self) -> Option<&dyn EntryStore> {
        None
    }

    /// All storages of sealed entries behind this cache, in the order in which they are asked. The default is that of
    /// [`entries`](Self::entries), if there is one.
    fn storages(&self) -> Vec<&dyn EntryStore> {
        self.entries().into_iter().collect()
    }

    /// Loads the module of an entry that was fetched from elsewhere and that [`entries`](Self::entries) did not keep, so
    /// that it need not be fetched again. A cache that keeps live modules keeps this one too.
    ///
    /// A cache with `entries` calls [`open_entry`](crate::entry::open_entry) here. The default has none, and loads nothing.
    ///
    /// # Errors
    ///
    /// When the entry is of another module, or of an id that the engine does not load, or the engine refuses it.
    fn load_sealed(
        &self,
        _hash: ModuleHash,
        _engine: &E,
        _entry: SealedEntry<'static>,
    ) -> Result<Option<E::Module>, CacheError> {
        Ok(None)
    }

    /// Waits until everything that was saved before is stored. The default has nothing pending.
    ///
    /// For a store, [`EntryStore::sync`](crate::EntryStore::sync) does the same without naming an engine type.
    ///
    /// # Errors
    ///
    /// When something could not be written.
    fn flush(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
