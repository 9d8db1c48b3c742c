//! The outcome of a promotion that found an entry.

use crate::{CacheError, EntryKey, SaveOutcome, SealedEntry};

/// What [`EntryStore::promote`](crate::EntryStore::promote) found and put into another store.
#[derive(Debug)]
pub struct Promotion {
    /// What was found: the key that was asked for, or that of an accepted id.
    pub key: EntryKey,
    /// What the other store did with it.
    pub outcome: Result<SaveOutcome, CacheError>,
    /// The entry, if the other store did not keep it.
    pub entry: Option<SealedEntry<'static>>,
}
