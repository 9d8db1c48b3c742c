//! One lock for each key that this cache's own threads want to compile: they need not ask a server to keep
//! out of each other's way, and none of them meets the lease of another.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use module_cache_core::EntryKey;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

#[derive(Debug, Default)]
pub(crate) struct LocalLocks(Mutex<HashMap<EntryKey, Weak<AsyncMutex<()>>>>);

impl LocalLocks {
    /// Takes the lock of this key, or returns what to wait for.
    pub(crate) fn try_lock(
        &self,
        key: &EntryKey,
    ) -> Result<OwnedMutexGuard<()>, Arc<AsyncMutex<()>>> {
        let mut locks = self.0.lock();
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = locks.get(key).and_then(Weak::upgrade).unwrap_or_default();
        locks.insert(*key, Arc::downgrade(&lock));
        Arc::clone(&lock).try_lock_owned().map_err(|_| lock)
    }
}
