//! Storage of sealed entries: what a new backend implements.

use std::error::Error;
use std::fmt::Debug;

use crate::{CacheError, CompilePermit, EngineId, EntryKey, Promotion, SaveOutcome, SealedEntry};

/// A storage of [`SealedEntry`]s, which knows nothing of engines.
///
/// Implementing it needs no `unsafe`: an entry read back from a storage can only be made by
/// [`SealedEntry::open`], which verifies it. [`StoreCache`](crate::StoreCache) makes a
/// [`ModuleCache`](crate::ModuleCache) of it; one that does more than that calls
/// [`load_entry`](crate::load_entry) and [`save_entry`](crate::save_entry).
///
/// # Contract
///
/// - [`get`](Self::get) returns an entry of exactly the key that was asked for, or nothing. No reader ever
///   observes a partly written entry.
/// - What cannot be verified is a miss. Only what is proven corrupt
///   ([`InvalidEntry::is_corrupt`](crate::InvalidEntry::is_corrupt)) is deleted.
pub trait EntryStore: Debug {
    /// Looks up an entry, verified.
    ///
    /// # Errors
    ///
    /// When the storage cannot work; never because of one bad entry.
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError>;

    /// Looks up the entry of `key`, or else that of the same module for the first of the `accepted` ids that has one.
    /// The default is one [`get`](Self::get) after the other; a store that is far away asks for all at once.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    fn get_first(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
    ) -> Result<Option<SealedEntry<'static>>, CacheError> {
        if let Some(entry) = self.get(key)? {
            return Ok(Some(entry));
        }
        for id in accepted {
            if let Some(entry) = self.get(&EntryKey::new(key.hash(), *id))? {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Looks up an entry as [`get_first`](Self::get_first) does and hands it to `to`, a faster store, which keeps it
    /// under the id that it was found under. The default does one after the other; a store that is far away hands it on
    /// while it comes.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    fn promote(
        &self,
        key: &EntryKey,
        accepted: &[EngineId],
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, CacheError> {
        let Some(entry) = self.get_first(key, accepted)? else {
            return Ok(None);
        };
        let key = *entry.key();
        let outcome = to.put(&key, &entry);
        let entry = (!matches!(outcome, Ok(SaveOutcome::Stored { .. }))).then_some(entry);
        Ok(Some(Promotion {
            key,
            outcome,
            entry,
        }))
    }

    /// Stores an entry, in whole or not at all, in place of any that cannot be used.
    ///
    /// # Errors
    ///
    /// When the storage cannot work, or the entry is not of this key.
    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError>;

    /// Whether [`get`](Self::get) would probably succeed; cheaper than that. A hint, but one that looks
    /// at the footer: what it calls present is not stored again.
    ///
    /// # Errors
    ///
    /// When the storage cannot work.
    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError>;

    /// Deletes an entry and says whether there was one.
    ///
    /// # Errors
    ///
    /// When the storage cannot work.
    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError>;

    /// As [`ModuleCache::compile_permit`](crate::ModuleCache::compile_permit).
    ///
    /// # Errors
    ///
    /// When the storage cannot say.
    fn permit(&self, _key: &EntryKey) -> Result<CompilePermit, CacheError> {
        Ok(CompilePermit::Uncoordinated)
    }

    /// Hears that an entry which [`get`](Self::get) returned could not be used, and why. The entry stays;
    /// the default does nothing.
    fn rejected(&self, _key: &EntryKey, _reason: &(dyn Error + 'static)) {}

    /// Hears that `from`, a faster store, had the entry, so that this one was not asked for it. A store that loses entries
    /// may take it from there, now or later ([`handle`](Self::handle)); the default does nothing.
    fn offer(&self, _key: &EntryKey, _from: &dyn EntryStore) {}

    /// Another handle of this store, for what is done in the background; the default has none.
    fn handle(&self) -> Option<Box<dyn EntryStore + Send + Sync>> {
        None
    }

    /// As [`ModuleCache::flush`](crate::ModuleCache::flush).
    ///
    /// # Errors
    ///
    /// When something could not be written.
    fn sync(&self) -> Result<(), CacheError> {
        Ok(())
    }
}
