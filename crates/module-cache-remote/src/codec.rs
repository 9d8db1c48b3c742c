//! Zstandard frames.

use std::io;

/// Machine code shrinks by two thirds at any level; higher ones cost much more and bring little.
const LEVEL: i32 = 3;

pub(crate) fn compress(content: &[u8]) -> io::Result<Vec<u8>> {
    zstd::bulk::compress(content, LEVEL)
}

/// Decompresses a frame to exactly as many bytes as there is room for.
pub(crate) fn decompress(stored: &[u8], content: &mut [u8]) -> io::Result<()> {
    if zstd::bulk::decompress_to_buffer(stored, content)? == content.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
