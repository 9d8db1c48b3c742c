//! The digest of the artifact that a compressed entry carries, so that whoever decompresses it need not be
//! trusted. It stands behind the compressed frames in a frame of its own, of the kind that every Zstandard
//! decoder skips.

use blake3::hazmat::{Mode, hash_derive_key_context};

use crate::{InvalidEntry, parallel_hash};

/// Length of the frame in bytes.
pub(crate) const FRAME_LEN: usize = 8 + DIGEST_LEN;

const DIGEST_LEN: usize = 32;

/// The magic number of a skippable frame, then the length of its content, as Zstandard defines them.
const HEADER: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 32, 0, 0, 0];

/// The digest of an artifact.
pub(crate) fn of(artifact: &[u8]) -> [u8; DIGEST_LEN] {
    let context = hash_derive_key_context("module-cache 2026 artifact digest v1");
    parallel_hash::hash_slices(&Mode::DeriveKeyMaterial(&context), [artifact, &[]])
}

/// The frame that holds a digest.
pub(crate) fn frame(digest: &[u8; DIGEST_LEN]) -> [u8; FRAME_LEN] {
    let mut frame = [0; FRAME_LEN];
    frame[..HEADER.len()].copy_from_slice(&HEADER);
    frame[HEADER.len()..].copy_from_slice(digest);
    frame
}

/// The compressed frames in front, and the digest.
pub(crate) fn split(stored: &[u8]) -> Result<(&[u8], [u8; DIGEST_LEN]), InvalidEntry> {
    let missing = InvalidEntry::Corrupt("it is compressed and has no digest of its artifact");
    let Some((frames, last)) = stored.split_last_chunk::<FRAME_LEN>() else {
        return Err(missing);
    };
    match last.split_first_chunk() {
        Some((&HEADER, digest)) => Ok((frames, digest.try_into().map_err(|_| missing)?)),
        _ => Err(missing),
    }
}
