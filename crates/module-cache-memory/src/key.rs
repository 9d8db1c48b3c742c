//! The key of a live module, and maps that take the hash that it says.

use std::array;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use module_cache_core::instance::InstanceId;
use module_cache_core::{Engine, ModuleHash};

/// A map whose keys say what their hash is.
pub(crate) type KeyMap<V> = HashMap<Key, V, BuildHasherDefault<KeyHasher>>;

/// The same for sets.
pub(crate) type KeySet = HashSet<Key, BuildHasherDefault<KeyHasher>>;

/// Shrinks a map of which most is empty, which takes constant time for each key that left since it grew.
pub(crate) fn give_back_memory<V>(map: &mut KeyMap<V>) {
    if map.capacity() / 8 > map.len() {
        map.shrink_to(2 * map.len());
    }
}

/// A module of one engine object. The object has one id, so the id need not be in here.
#[derive(Debug, Clone, Copy, Eq)]
pub(crate) struct Key {
    /// The module's hash, in the words that are mixed and compared: a hit keeps all of it in registers.
    module: [u64; 4],
    instance: InstanceId,
}

impl Key {
    pub(crate) fn new(module: ModuleHash, engine: &impl Engine) -> Self {
        Self {
            module: words(module.as_bytes()),
            instance: engine.instance().id(),
        }
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.instance
    }
}

impl PartialEq for Key {
    /// Word by word. Arrays as such are compared by wide loads, and those of a key that was just written in
    /// words wait until the words have reached the cache, which takes as long as the rest of a hit.
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        let same = |index: usize| self.module[index] == other.module[index];
        self.instance == other.instance && same(0) && same(1) && same(2) && same(3)
    }
}

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(mix(&self.module, self.instance.as_u64()));
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

#[inline]
fn words(hash: &[u8; 32]) -> [u64; 4] {
    array::from_fn(|word| u64::from_le_bytes(array::from_fn(|byte| hash[8 * word + byte])))
}

/// Folds a key to 64 bits that are uniform, wherever the key differs from others.
///
/// A digest would need no mixing, but keys that callers make may be counters, and two multiplications
/// cost little beside the reference count of a module.
#[inline]
fn mix(hash: &[u64; 4], instance: u64) -> u64 {
    // Digits of pi: no structure that keys could share.
    fold(
        hash[0] ^ 0x243f_6a88_85a3_08d3,
        hash[1] ^ 0x1319_8a2e_0370_7344,
    ) ^ fold(
        hash[2] ^ 0xa409_3822_299f_31d0 ^ instance.rotate_left(32),
        hash[3] ^ 0x082e_fa98_ec4e_6c89,
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
                    mix(&words(&hash), 0)
                })
                .collect();
            let fullest = fullest_bucket(&mixed);
            assert!(fullest < 40, "{fullest} of 8192 at byte {place}");
        }
    }

    #[test]
    fn keys_of_one_repeated_byte_differ() {
        let mixed: Vec<_> = (0..=255).map(|byte| mix(&words(&[byte; 32]), 0)).collect();
        assert!(fullest_bucket(&mixed) < 6);
    }

    #[test]
    fn the_same_module_of_many_engines_spreads() {
        let mixed: Vec<_> = (0..8192).map(|instance| mix(&[7; 4], instance)).collect();
        assert!(fullest_bucket(&mixed) < 40);
    }
}
