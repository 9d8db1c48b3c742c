//! Bytes that look like wasm.

/// Wasm that [`TestEngine`](crate::TestEngine) accepts: `size` bytes, at least 16, that differ for each `n` and are the
/// same in every run. They do not compress.
///
/// ```
/// use module_cache_testkit::wasm;
///
/// assert_eq!(wasm(7, 100), wasm(7, 100));
/// assert_ne!(wasm(7, 100), wasm(8, 100));
/// assert_eq!(wasm(7, 100).len(), 100);
/// ```
pub fn wasm(n: u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    bytes.extend(b"\0asm\x01\0\0\0");
    bytes.extend(n.to_le_bytes());
    // SplitMix64.
    let mut state = n;
    while bytes.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(size.max(16));
    bytes
}
