//! The key of a live module, and maps that take its hash as it is.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use module_cache_core::{Engine, EngineInstance, ModuleHash};

/// A map that does not hash its keys: they are digests already.
pub(crate) type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

/// A module of one engine object. The object has one id, so the id need not be in here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    mixed: u64,
    module: ModuleHash,
    instance: EngineInstance,
}

impl Key {
    pub(crate) fn new(module: ModuleHash, engine: &impl Engine) -> Self {
        let instance = engine.instance();
        Self {
            mixed: mix(module.as_bytes(), instance.as_u64()),
            module,
            instance,
        }
    }

    /// A number that tells shards apart. A hash map takes the lowest bits for the bucket and the highest
    /// for its tag, so these are from between.
    pub(crate) fn shard(&self) -> u8 {
        self.mixed.to_le_bytes()[5]
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.mixed);
    }
}

/// Passes on what a [`Key`] gives it.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_u64(&mut self, mixed: u64) {
        self.0 = mixed;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key writes one number")
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Folds a key to 64 bits that are uniform, wherever the key differs from others.
///
/// A digest would need no mixing, but keys that callers make may be counters, and two multiplications
/// cost little beside the lock of a hit.
#[inline]
fn mix(hash: &[u8; 32], instance: u64) -> u64 {
    let (words, _) = hash.as_chunks::<8>();
    let word = |index: usize| u64::from_le_bytes(words[index]);
    // Digits of pi: no structure that keys could share.
    fold(
        word(0) ^ 0x243f_6a88_85a3_08d3,
        word(1) ^ 0x1319_8a2e_0370_7344,
    ) ^ fold(
        word(2) ^ 0xa409_3822_299f_31d0 ^ instance.rotate_left(32),
        word(3) ^ 0x082e_fa98_ec4e_6c89,
    )
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of the product are what is wanted"
)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most keys in one of 1024 buckets, over each run of ten bits that a map or a shard may use.
    fn fullest_bucket(mixed: &[u64]) -> usize {
        [0, 10, 40, 54]
            .into_iter()
            .flat_map(|shift| {
                let mut buckets = vec![0; 1024];
                for bits in mixed {
                    buckets[usize::try_from(bits >> shift & 1023).unwrap()] += 1;
                }
                buckets
            })
            .max()
            .unwrap()
    }

    #[test]
    fn counters_anywhere_in_the_key_spread_like_digests() {
        for place in 0..=28 {
            let mixed: Vec<_> = (0..8192_u32)
                .map(|count| {
                    let mut hash = [0; 32];
                    hash[place..place + 4].copy_from_slice(&count.to_be_bytes());
                    mix(&hash, 0)
                })
                .collect();
            let fullest = fullest_bucket(&mixed);
            assert!(fullest < 40, "{fullest} of 8192 at byte {place}");
        }
    }

    #[test]
    fn keys_of_one_repeated_byte_differ() {
        let mixed: Vec<_> = (0..=255).map(|byte| mix(&[byte; 32], 0)).collect();
        assert!(fullest_bucket(&mixed) < 6);
    }

    #[test]
    fn the_same_module_of_many_engines_spreads() {
        let mixed: Vec<_> = (0..8192).map(|instance| mix(&[7; 32], instance)).collect();
        assert!(fullest_bucket(&mixed) < 40);
    }
}
