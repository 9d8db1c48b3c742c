//! A random sample of the hits in a folder in front of the storage, for [`backfill`](crate::backfill).

use module_cache_core::{EntryKey, EntryStore};

use crate::random::Random;

/// So many hits are remembered.
const SAMPLE: u64 = 64;

#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// How many entries were offered since the last was taken.
    offered: u64,
    keys: Vec<EntryKey>,
    /// Where they are.
    pub(crate) from: Option<Box<dyn EntryStore + Send + Sync>>,
    /// Whether a task takes them, one after the other.
    pub(crate) is_taken: bool,
}

impl Sample {
    /// Keeps each of those that were offered with the same probability: algorithm R (Vitter, "Random Sampling with a
    /// Reservoir", 1985).
    pub(crate) fn add(&mut self, key: EntryKey, random: &Random) {
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

    pub(crate) fn take(&mut self, random: &Random) -> Option<EntryKey> {
        let at = random.below(self.keys.len() as u64);
        (at < self.keys.len()).then(|| self.keys.swap_remove(at))
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
