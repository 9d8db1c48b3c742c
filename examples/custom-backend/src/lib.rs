//! A backend of one's own: compiled modules in a [redb] database, one file for any number of processes.
//!
//! `docs/backend.md` goes through it. The tests are the conformance suite that every backend passes.

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::{
    CacheError, EntryKey, EntryStore, InvalidEntry, SaveOutcome, SealedEntry, Trust,
};
use redb::{ConcurrencyMode, Database, ReadableDatabase, Table, TableDefinition};

const ENTRIES: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

type Rows<'t> = Table<'t, &'static str, &'static [u8]>;

/// Compiled modules in a database file. It evicts nothing: it grows until entries are removed.
///
/// `StoreCache(store)` is the cache over it.
#[derive(Debug)]
pub struct RedbStore {
    database: Database,
    trust: Trust,
    unusable: AtomicU64,
}

impl RedbStore {
    /// Opens the database at `path`, creating it if there is none, for entries that `trust` accepts.
    ///
    /// # Errors
    ///
    /// When it cannot be opened, as when it is no database.
    pub fn open(path: impl AsRef<Path>, trust: Trust) -> Result<Self, CacheError> {
        let mut builder = Database::builder();
        builder.set_concurrency_mode(ConcurrencyMode::MultiWriter);
        let store = Self {
            database: builder.create(path).map_err(failed)?,
            trust,
            unusable: AtomicU64::new(0),
        };
        // This makes the table, without which nothing can be read.
        store.write(|_| Ok(())).map_err(failed)?;
        Ok(store)
    }

    /// How many times an entry was there and could not be used.
    pub fn unusable(&self) -> u64 {
        self.unusable.load(Ordering::Relaxed)
    }

    /// Lets `act` work on the table, in whole or not at all.
    fn write<T>(&self, act: impl FnOnce(&mut Rows) -> redb::Result<T>) -> Result<T, redb::Error> {
        let transaction = self.database.begin_write()?;
        let done = act(&mut transaction.open_table(ENTRIES)?)?;
        transaction.commit()?;
        Ok(done)
    }

    fn read(&self, key: &EntryKey) -> Result<Option<Vec<u8>>, redb::Error> {
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        let stored = table.get(&*key.to_string())?;
        Ok(stored.map(|stored| stored.value().to_vec()))
    }
}

impl EntryStore for RedbStore {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        let stored = self.read(key).map_err(failed)?;
        let opened = stored.map(|stored| SealedEntry::open(stored, key, &self.trust));
        // A bad entry is a miss. It stays until it is replaced by the save that follows.
        Ok(opened.and_then(|opened| opened.map_err(|bad| self.rejected(key, &bad)).ok()))
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        if entry.key() != key {
            return Err(failed(InvalidEntry::KeyMismatch(Box::new(*entry.key()))));
        }
        let mut stored = Vec::new();
        entry.write_to(&self.trust, &mut stored).map_err(failed)?;
        self.write(|table| table.insert(&*key.to_string(), &*stored).map(drop))
            .map_err(failed)?;
        let bytes = stored.len() as u64;
        Ok(SaveOutcome::Stored { bytes })
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        Ok(self.get(key)?.is_some())
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.write(|table| Ok(table.remove(&*key.to_string())?.is_some()))
            .map_err(failed)
    }

    fn rejected(&self, key: &EntryKey, reason: &(dyn Error + 'static)) {
        self.unusable.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(%key, reason, "a stored entry cannot be used");
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> CacheError {
    CacheError::backend("redb", "use the database", error)
}
