//! From stored entry to module and back: the only place where stored bytes reach an engine.

use std::iter;

use crate::{
    ArtifactEngine, CacheError, Engine, EngineError, EngineId, EntryKey, EntryStore, FoundModule,
    InvalidEntry, ModuleHash, SaveOutcome, SealedEntry, SkipReason,
};

/// Loads a module from an entry of `store`: of the engine's own id, or else of the first of its accepted ids that has one.
/// A cache over a store calls this for its [`find`](crate::ModuleCache::find).
///
/// An entry that the engine refuses is reported to [`EntryStore::rejected`], and the next id is tried.
///
/// # Errors
///
/// When the store cannot work.
pub fn load_entry<E: ArtifactEngine>(
    store: &(impl EntryStore + ?Sized),
    hash: ModuleHash,
    engine: &E,
) -> Result<Option<FoundModule<E::Module>>, CacheError> {
    let mut key = EntryKey::new(hash, *engine.id());
    let mut accepted = engine.accepted_ids();
    while let Some(entry) = store.get_first(&key, accepted)? {
        let found = *entry.key();
        match open_entry(hash, engine, entry) {
            Ok(module) => return Ok(Some(FoundModule::of_entry(module, &found, engine))),
            Err(error) => store.rejected(&found, &error),
        }
        let Some(rest) = next_accepted(&found, &key, accepted) else {
            break;
        };
        (key, accepted) = rest;
    }
    Ok(None)
}

/// What is left to be looked for when the engine refused what [`EntryStore::get_first`] found, be it of `key` or of one of
/// the `accepted` ids behind it: the key of the next id, and the ids behind that.
pub fn next_accepted<'a>(
    found: &EntryKey,
    key: &EntryKey,
    accepted: &'a [EngineId],
) -> Option<(EntryKey, &'a [EngineId])> {
    let rest = if found == key {
        accepted
    } else {
        let at = accepted.iter().position(|id| id == found.engine())?;
        &accepted[at + 1..]
    };
    let (next, rest) = rest.split_first()?;
    Some((EntryKey::new(key.hash(), *next), rest))
}

/// Whether `store` probably has an entry that [`load_entry`] would load. A cache over a store calls this for its
/// [`contains`](crate::ModuleCache::contains).
///
/// # Errors
///
/// When the store cannot work.
pub fn has_entry(
    store: &(impl EntryStore + ?Sized),
    hash: ModuleHash,
    engine: &impl Engine,
) -> Result<bool, CacheError> {
    for id in iter::once(engine.id()).chain(engine.accepted_ids()) {
        if store.exists(&EntryKey::new(hash, *id))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Loads the module of a given entry. A cache over a store calls this for its
/// [`load_sealed`](crate::ModuleCache::load_sealed).
///
/// # Errors
///
/// When the entry is of another module, or of an id that is neither the engine's nor accepted, or the engine refuses it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn open_entry<E: ArtifactEngine>(
    hash: ModuleHash,
    engine: &E,
    entry: SealedEntry<'static>,
) -> Result<E::Module, EngineError> {
    let id = entry.key().engine();
    let is_accepted = id == engine.id() || engine.accepted_ids().contains(id);
    if entry.key().hash() != hash || !is_accepted {
        let mismatch = InvalidEntry::KeyMismatch(Box::new(*entry.key()));
        return Err(EngineError::new("cannot load the entry", mismatch));
    }
    let artifact = entry
        .into_artifact()
        .map_err(|error| EngineError::new("cannot load the entry", error))?;
    // SAFETY: a `SealedEntry` of this key exists only if its artifact was made by `serialize` on an engine
    // with the key's engine id and stays unchanged: that is the type's invariant, promised to or checked
    // by every one of its constructors. That the id is one that the engine loads was checked just above.
    unsafe { engine.deserialize(artifact) }
}

/// Stores a module as an entry of `store`. A cache over a store calls this for its `save`.
///
/// A module that is already stored is not serialized.
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

/// Stores a module as an entry of `store` without looking whether it is there: for a remote store, which does that later.
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
