//! Uploading again what a folder in front of the storage has, should the storage have lost it.
//!
//! Entries expire there, and uploads are dropped. Who compiled them has them still, and asks for them no more. So of the hits in
//! the folder some are remembered, and now and then one is left to be uploaded, as after a save: the upload looks first
//! whether the entry is there. Which ones is a random sample, or all hosts of a fleet would look for what they load first.

use std::sync::{Arc, Weak};
use std::time::Duration;

use module_cache_core::{EntryKey, EntryStore};
use tokio::time::sleep;

use crate::io_thread;
use crate::sample::Sample;
use crate::shared::Shared;

/// Remembers an entry that `from` has, perhaps.
pub(crate) fn offer(shared: &Arc<Shared>, key: &EntryKey, from: &dyn EntryStore) {
    let Some(interval) = shared.backfill else {
        return;
    };
    if shared.read_only() {
        return;
    }
    let mut sample = shared.sample.lock();
    if sample.from.is_none() {
        sample.from = from.handle();
    }
    sample.add(*key, &shared.random);
    if sample.from.is_some() && !sample.is_taken {
        let shared = Arc::downgrade(shared);
        let fill = async move { fill_now_and_then(&shared, interval).await };
        sample.is_taken = io_thread::spawn(fill).is_ok();
    }
}

/// Takes one after each interval, until none is left.
async fn fill_now_and_then(shared: &Weak<Shared>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let (key, from) = {
            let mut sample = shared.sample.lock();
            let key = sample.take(&shared.random);
            let Some((key, from)) = key.zip(sample.from.as_ref().and_then(EntryStore::handle))
            else {
                *sample = Sample::default();
                return;
            };
            (key, from)
        };
        let _ = io_thread::compute(move || fill(&shared, &key, &*from)).await;
    }
}

/// Leaves an entry to be uploaded, where nothing else is on its way.
fn fill(shared: &Arc<Shared>, key: &EntryKey, from: &dyn EntryStore) {
    if shared.read_only() || !shared.uploads.is_idle() || !shared.admit() {
        return;
    }
    // It may be gone.
    if let Ok(Some(entry)) = from.get(key)
        && let Err(failure) = shared.put(&entry)
    {
        tracing::debug!(%key, %failure, "cannot upload an entry again");
    }
}
