//! A hasher that takes digests as they are.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds [`PassThroughHasher`]s.
pub type PassThrough = BuildHasherDefault<PassThroughHasher>;

/// Returns the first eight bytes of the key. Whoever has digests for keys gives this to a map, so the
/// peers get it, too: what is compared is maps.
#[derive(Debug, Default, Clone)]
pub struct PassThroughHasher(u64);

impl Hasher for PassThroughHasher {
    fn write(&mut self, bytes: &[u8]) {
        let first = bytes.first_chunk().expect("keys are digests");
        self.0 = u64::from_le_bytes(*first);
    }

    /// The length of the key, which is always the same.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
