//! Storage of sealed entries: what a new backend implements.

use std::error::Error;
use std::fmt::Debug;

use crate::entry::Promotion;
use crate::permit::CompilePermit;
use crate::{CacheError, EngineId, EntryKey, SaveOutcome, SealedEntry};

/// A storage of [`SealedEntry`]s, which does not depend on engines.
///
/// Implementing it needs no `unsafe`: an entry read back from a storage can only be made by [`SealedEntry::open`],
/// [`open_transported`](SealedEntry::open_transported) or [`incoming`](SealedEntry::incoming), which verify it.
/// [`StoreCache`](crate::StoreCache) turns it into a [`ModuleCache`](crate::ModuleCache); a cache that does more than
/// that calls [`load_entry`](crate::entry::load_entry) and [`save_entry`](crate::entry::save_entry).
///
/// # Contract
///
/// - [`get`](Self::get) returns an entry of exactly the key that was asked for, or nothing. No reader ever
///   observes a partly written entry.
/// - An entry that cannot be verified is a miss. Only entries that are proven corrupt
///   ([`InvalidEntry::is_corrupt`](crate::InvalidEntry::is_corrupt)) are deleted.
pub trait EntryStore: Debug {
    /// Looks up an entry and verifies it.
    ///
    /// # Errors
    ///
    /// When the storage cannot work; never because of one bad entry.
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError>;

    /// Looks up the entry of `key`, or else that of the same module for the first of the `accepted` ids that has one. The
    /// default calls [`get`](Self::get) for one after the other; a remote store asks for all at once.
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

    /// Looks up an entry as [`get_first`](Self::get_first) does and puts it into `to`, a faster store, under the id that it
    /// was found under. The default does one after the other; a remote store passes the entry on while it arrives.
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

    /// Stores an entry completely or not at all. It replaces an entry that cannot be used.
    ///
    /// # Errors
    ///
    /// When the storage cannot work, or the entry is not of this key.
    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError>;

    /// Whether [`get`](Self::get) would probably succeed, at less cost. It is a hint, but must check the footer: an entry
    /// that is reported as present is not stored again.
    ///
    /// # Errors
    ///
    /// When the storage cannot work.
    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError>;

    /// Deletes an entry and returns whether there was one.
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

    /// Called when an entry that [`get`](Self::get) returned could not be used, with the reason. The store may verify
    /// the entry again; if it is not damaged, it stays. The default does nothing.
    fn rejected(&self, _key: &EntryKey, _reason: &(dyn Error + 'static)) {}

    /// Called when `from`, a faster store, had the entry, so that this one was not asked for it. A store that loses entries
    /// may copy it from there, now or later ([`handle`](Self::handle)); the default does nothing.
    fn offer(&self, _key: &EntryKey, _from: &dyn EntryStore) {}

    /// Another handle of this store, for work in the background; the default has none.
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
