//! The outcome of a save, and why a module is not in the cache folder after it.

use module_cache::{
    CacheError,
    backend::{EntryKey, EntryStore, SaveOutcome, SkipReason},
};

use crate::messages;
use crate::remote::Layers;

/// The outcome of a save, if there was one.
pub(crate) type Saved = Option<Result<SaveOutcome, CacheError>>;

/// Why the module is not in the cache folder; `None` if it is there, or no folder is in use.
pub(crate) fn problem(cache: &Layers, key: &EntryKey, saved: &Saved) -> Option<String> {
    cache.primary().as_ref()?;
    match saved {
        Some(Err(error)) => Some(messages::with_causes(error)),
        Some(Ok(SaveOutcome::Skipped(reason))) if *reason != SkipReason::AlreadyStored => {
            Some(reason.to_string())
        }
        // It came from the folder, or was stored there.
        _ if cache.fallback().is_none() => None,
        _ => missing(cache, key),
    }
}

/// The same, of a module that may have been saved elsewhere in this program.
pub(crate) fn missing(cache: &Layers, key: &EntryKey) -> Option<String> {
    let folder = cache.primary().as_ref()?;
    match folder.exists(key) {
        Ok(true) => None,
        Ok(false) if !folder.is_writable() => Some(SkipReason::ReadOnly.to_string()),
        Ok(false) => Some("the folder did not keep it".into()),
        Err(error) => Some(messages::with_causes(&error)),
    }
}
