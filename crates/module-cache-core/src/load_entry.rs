//! From stored entry to module and back: the only place where stored bytes reach an engine.

use crate::{
    ArtifactEngine, CacheError, EngineError, EntryKey, EntryStore, InvalidEntry, ModuleHash,
    SaveOutcome, SealedEntry, SkipReason,
};

/// Loads a module from an entry of `store`. A cache over a store calls this for its `load`.
///
/// An entry that the engine refuses is reported to [`EntryStore::rejected`] and is a miss.
///
/// # Errors
///
/// When the store cannot work.
pub fn load_entry<E: ArtifactEngine>(
    store: &(impl EntryStore + ?Sized),
    hash: ModuleHash,
    engine: &E,
) -> Result<Option<E::Module>, CacheError> {
    let key = EntryKey::new(hash, *engine.id());
    let Some(entry) = store.get(&key)? else {
        return Ok(None);
    };
    match open_entry(hash, engine, entry) {
        Ok(module) => Ok(Some(module)),
        Err(error) => {
            store.rejected(&key, &error);
            Ok(None)
        }
    }
}

/// Makes the module of an entry in hand. A cache over a store calls this for its
/// [`load_sealed`](crate::ModuleCache::load_sealed).
///
/// # Errors
///
/// When the entry is of another module or engine, or the engine refuses it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn open_entry<E: ArtifactEngine>(
    hash: ModuleHash,
    engine: &E,
    entry: SealedEntry<'static>,
) -> Result<E::Module, EngineError> {
    if *entry.key() != EntryKey::new(hash, *engine.id()) {
        let mismatch = InvalidEntry::KeyMismatch(Box::new(*entry.key()));
        return Err(EngineError::new("cannot load the entry", mismatch));
    }
    let artifact = entry
        .into_artifact()
        .map_err(|error| EngineError::new("cannot load the entry", error))?;
    // SAFETY: a `SealedEntry` of this key exists only if its artifact was made by `serialize` on an engine
    // with the key's engine id and stays unchanged: that is the type's invariant, promised to or checked
    // by every one of its constructors. The engine's own id was compared just above.
    unsafe { engine.deserialize(artifact) }
}

/// Stores a module as an entry of `store`. A cache over a store calls this for its `save`.
///
/// A module that is there already is not serialized.
///
/// # Errors
///
/// When the engine cannot serialize the module, or the store cannot work.
pub fn save_entry<E: ArtifactEngine>(
    store: &(impl EntryStore + ?Sized),
    hash: ModuleHash,
    engine: &E,
    module: &E::Module,
) -> Result<SaveOutcome, CacheError> {
    let key = EntryKey::new(hash, *engine.id());
    if store.exists(&key)? {
        return Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored));
    }
    put_entry(store, key.hash(), engine, module)
}

/// Stores a module as an entry of `store`, whether it is there already or not: for a store that has to
/// look far away, and does so later.
///
/// # Errors
///
/// As for [`save_entry`].
pub fn put_entry<E: ArtifactEngine>(
    store: &(impl EntryStore + ?Sized),
    hash: ModuleHash,
    engine: &E,
    module: &E::Module,
) -> Result<SaveOutcome, CacheError> {
    let key = EntryKey::new(hash, *engine.id());
    let artifact = engine.serialize(module)?;
    // SAFETY: the artifact comes from `serialize` on the engine whose id is in the key, which by the
    // contract of `ArtifactEngine` emits only what the engine made.
    let entry = unsafe { SealedEntry::from_artifact(key, artifact) };
    store.put(&key, &entry)
}
