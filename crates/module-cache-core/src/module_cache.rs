//! The central trait: a cache of live modules.

use std::fmt::Debug;

use crate::{
    CacheError, CompilePermit, Engine, EntryStore, FoundModule, ModuleHash, SaveOutcome,
    SealedEntry,
};

/// A cache of modules of engine `E`.
///
/// It is synchronous and dyn-compatible: the hot path is a lookup of tens of nanoseconds, and the cold
/// path ends in a compilation that needs a blocking thread anyway. A cache evicts and invalidates by
/// itself; callers only load and save.
///
/// # Contract
///
/// Every implementation keeps this, and `module-cache-testkit` tests it:
///
/// - A miss is `Ok(None)`. A corrupt, foreign or rejected entry is a miss that is counted and logged.
///   `Err` means that the cache itself could not work.
/// - What [`load`](Self::load) returns was saved under the same key by an engine of equal
///   [`id`](Engine::id), or by one whose id is among the engine's [`accepted_ids`](Engine::accepted_ids) where there is
///   none of its own; where it is a live object, by an engine of equal [`instance`](Engine::instance).
/// - A cache may forget anything at any time.
/// - No call panics because of what is in the storage, and a failed call leaves what was stored before.
///
/// Shared by threads when it is `Sync`, as most are.
pub trait ModuleCache<E: Engine>: Debug {
    /// Looks up the module.
    ///
    /// # Errors
    ///
    /// When the cache cannot work, as when a disk fails; never because of one bad entry.
    fn load(&self, hash: ModuleHash, engine: &E) -> Result<Option<E::Module>, CacheError>;

    /// Like [`load`](Self::load), and says under which id the module was stored. The default is a `load`, for a cache that
    /// stores nothing; one over a store calls [`load_entry`](crate::load_entry).
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

    /// Whether a load would probably succeed. A hint: the entry may be gone or prove bad a moment later.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    fn contains(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError>;

    /// Keeps the module for later loads.
    ///
    /// # Errors
    ///
    /// When the cache cannot work, or the engine cannot serialize the module. A module that there is no
    /// room for is [`SaveOutcome::Skipped`]. A cache that saves behind its callers tells an error in
    /// [`flush`](Self::flush).
    fn save(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Result<SaveOutcome, CacheError>;

    /// Forgets the module of the engine's own id and says whether there was one. Modules handed out before stay usable.
    ///
    /// # Errors
    ///
    /// When the cache cannot work.
    fn remove(&self, hash: ModuleHash, engine: &E) -> Result<bool, CacheError>;

    /// Like [`load`](Self::load), but only what needs no input or output and no waiting: a module that is
    /// alive in this process. The default has none.
    fn load_resident(&self, _hash: ModuleHash, _engine: &E) -> Option<E::Module> {
        None
    }

    /// Asks for a permit to compile `key`, which one of all who share this storage has at a time. Never waits for
    /// another holder. The default coordinates nothing.
    ///
    /// # Errors
    ///
    /// When the storage cannot say; the caller then compiles without.
    fn compile_permit(&self, _hash: ModuleHash, _engine: &E) -> Result<CompilePermit, CacheError> {
        Ok(CompilePermit::Uncoordinated)
    }

    /// The sealed entries behind this cache, if it keeps any: how layers pass on bytes instead of
    /// serializing a module again. The default has none.
    fn entries(&self) -> Option<&dyn EntryStore> {
        None
    }

    /// Makes the module of an entry that was fetched from elsewhere and that [`entries`](Self::entries) did
    /// not keep, so that it need not be fetched again. What this cache keeps alive, it keeps of that too.
    ///
    /// A cache with `entries` calls [`open_entry`](crate::open_entry) here. The default has none, and makes
    /// nothing.
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

    /// Waits until everything saved before is where it was meant to go. The default has nothing pending.
    ///
    /// Of a store, which caches for every engine, [`EntryStore::sync`](crate::EntryStore::sync) does the same and leaves
    /// none to be named.
    ///
    /// # Errors
    ///
    /// When something could not be written.
    fn flush(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
