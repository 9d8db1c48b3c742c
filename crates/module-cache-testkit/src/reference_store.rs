//! The simplest correct store, permits included.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::permit::{CompilePermit, PermitOutcome};
use module_cache_core::{
    CacheError, EntryKey, EntryStore, InvalidEntry, SaveOutcome, SealedEntry, SharedKey,
    SkipReason, Trust,
};
use parking_lot::{Condvar, Mutex};

/// Sealed entries in a map, signed with a fixed key, with permits. Clones are further handles of the same storage.
///
/// Tests can read and replace the stored bytes, as a user with access to a real storage could.
#[derive(Clone, Default)]
pub struct ReferenceStore(Arc<Storage>);

#[derive(Default)]
struct Storage {
    entries: Mutex<HashMap<EntryKey, Vec<u8>>>,
    rejections: AtomicU64,
    permits: Mutex<HashSet<EntryKey>>,
    released: Condvar,
}

impl ReferenceStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// The trust under which every reference store seals its entries.
    pub fn trust() -> Trust {
        Trust::shared(SharedKey::from_bytes(*b"a key of reference stores, known"))
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.0.entries.lock().len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored bytes of an entry, without verification.
    pub fn stored_bytes(&self, key: &EntryKey) -> Option<Vec<u8>> {
        self.0.entries.lock().get(key).cloned()
    }

    /// Replaces the stored bytes of an entry, without verification.
    pub fn set_stored_bytes(&self, key: &EntryKey, bytes: Vec<u8>) {
        self.0.entries.lock().insert(*key, bytes);
    }

    /// How many entries could not be used: rejected by an engine, or of another key, signer or format.
    pub fn rejections(&self) -> u64 {
        self.0.rejections.load(Ordering::SeqCst)
    }
}

impl EntryStore for ReferenceStore {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        // Locked throughout, so that what is deleted is what was found corrupt.
        let mut entries = self.0.entries.lock();
        let Some(bytes) = entries.get(key).cloned() else {
            return Ok(None);
        };
        match SealedEntry::open(bytes, key, &Self::trust()) {
            Ok(entry) => Ok(Some(entry)),
            Err(invalid) if invalid.is_corrupt() => {
                entries.remove(key);
                Ok(None)
            }
            Err(invalid) => {
                self.rejected(key, &invalid);
                Ok(None)
            }
        }
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        let failed = |error: Box<dyn Error + Send + Sync>| {
            CacheError::backend("reference store", "put", error)
        };
        if entry.key() != key {
            return Err(failed(
                InvalidEntry::KeyMismatch(Box::new(*entry.key())).into(),
            ));
        }
        if self.exists(key)? {
            return Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored));
        }
        let mut stored = Vec::new();
        entry
            .write_to(&Self::trust(), &mut stored)
            .map_err(|error| failed(error.into()))?;
        let bytes = stored.len() as u64;
        self.set_stored_bytes(key, stored);
        Ok(SaveOutcome::Stored { bytes })
    }

    /// Verifies too: what cannot be used may be replaced.
    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        Ok(self
            .stored_bytes(key)
            .is_some_and(|bytes| SealedEntry::open(bytes, key, &Self::trust()).is_ok()))
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        Ok(self.0.entries.lock().remove(key).is_some())
    }

    fn permit(&self, key: &EntryKey) -> Result<CompilePermit, CacheError> {
        if self.0.permits.lock().insert(*key) {
            return Ok(CompilePermit::exclusive(Permit {
                storage: self.0.clone(),
                key: *key,
            }));
        }
        let (storage, key) = (self.0.clone(), *key);
        Ok(CompilePermit::held(move |_| {
            let mut permits = storage.permits.lock();
            let is_held = |permits: &mut HashSet<_>| permits.contains(&key);
            storage.released.wait_while(&mut permits, is_held);
            PermitOutcome::Unknown
        }))
    }

    fn rejected(&self, _: &EntryKey, _: &(dyn Error + 'static)) {
        self.0.rejections.fetch_add(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for ReferenceStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ReferenceStore")
            .field("len", &self.len())
            .finish()
    }
}

/// Takes the key from the permits that are out.
struct Permit {
    storage: Arc<Storage>,
    key: EntryKey,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.storage.permits.lock().remove(&self.key);
        self.storage.released.notify_all();
    }
}
