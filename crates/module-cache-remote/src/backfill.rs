//! Uploading again what a folder in front of the storage has, should the storage have lost it.
//!
//! Entries expire there, and uploads are dropped. Who compiled them has them still, and asks for them no more. So of the hits in
//! the folder some are remembered, and now and then one is left to be uploaded, as after a save: the upload looks first
//! whether the entry is there. Which ones is a random sample, or all hosts of a fleet would look for what they load first.

use std::sync::{Arc, Weak};
use std::time::Duration;

use module_cache_core::{EntryKey, EntryStore};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::io_thread;
use crate::random::Random;
use crate::shared::Shared;

/// So many hits are remembered.
const SAMPLE: u64 = 64;

#[derive(Debug)]
pub(crate) struct Backfill {
    interval: Option<Duration>,
    sample: Mutex<Sample>,
}

#[derive(Debug, Default)]
struct Sample {
    /// How many entries were offered since the last was taken.
    offered: u64,
    keys: Vec<EntryKey>,
    /// Where they are.
    from: Option<Box<dyn EntryStore + Send + Sync>>,
    /// Whether a task takes them, one after the other.
    is_taken: bool,
}

impl Backfill {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            sample: Mutex::default(),
        }
    }
}

impl Sample {
    /// Keeps each of those that were offered with the same probability: algorithm R (Vitter, "Random Sampling with a
    /// Reservoir", 1985).
    fn add(&mut self, key: EntryKey, random: &Random) {
        if self.keys.contains(&key) {
            return;
        }
        self.offered += 1;
        if (self.keys.len() as u64) < SAMPLE {
            self.keys.push(key);
        } else if let Some(kept) = self.keys.get_mut(random.below(self.offered)) {
            *kept = key;
        }
    }

    fn take(&mut self, random: &Random) -> Option<EntryKey> {
        let at = random.below(self.keys.len() as u64);
        (at < self.keys.len()).then(|| self.keys.swap_remove(at))
    }
}

/// Remembers an entry that `from` has, perhaps.
pub(crate) fn offer(shared: &Arc<Shared>, key: &EntryKey, from: &dyn EntryStore) {
    let Some(interval) = shared.backfill.interval else {
        return;
    };
    if shared.read_only() {
        return;
    }
    let mut sample = shared.backfill.sample.lock();
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
            let mut sample = shared.backfill.sample.lock();
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

#[cfg(test)]
mod tests {
    use module_cache_core::{EngineId, ModuleHash};

    use super::*;

    #[test]
    fn what_is_offered_last_is_as_likely_to_be_kept_as_what_is_offered_first() {
        const OFFERED: u64 = 4 * SAMPLE;
        let random = Random::from_seed(1);
        let engine = EngineId::builder("test").build();
        let key = |n: u64| EntryKey::new(ModuleHash::of(&n.to_le_bytes()), engine);
        let mut kept_of_first_half = 0;
        for _ in 0..100 {
            let mut sample = Sample::default();
            (0..OFFERED).for_each(|n| sample.add(key(n), &random));
            assert_eq!(sample.keys.len() as u64, SAMPLE);
            let first = (0..OFFERED / 2).filter(|n| sample.keys.contains(&key(*n)));
            kept_of_first_half += first.count();
            while sample.take(&random).is_some() {}
            assert!(sample.keys.is_empty());
        }
        // Of 6,400 that were kept.
        assert!(
            (2900..3500).contains(&kept_of_first_half),
            "{kept_of_first_half}"
        );
    }
}
