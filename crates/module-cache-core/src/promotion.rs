//! The result of putting an entry of one store into a faster one.

use crate::{CacheError, EntryKey, SaveOutcome, SealedEntry};

/// An entry that was found and put into another store.
#[derive(Debug)]
pub struct Promotion {
    /// What was found: the key that was asked for, or that of an accepted id.
    pub key: EntryKey,
    /// What the other store did with it.
    pub outcome: Result<SaveOutcome, CacheError>,
    /// The entry, if the other store did not keep it.
    pub entry: Option<SealedEntry<'static>>,
}
