//! BLAKE3 over all cores: it is a tree, so the leaves are hashed by several threads and merged here.

use std::io;
use std::ops::Range;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::parallel;

/// What one thread takes at a time. A power of two, as the tree demands; small enough to balance the
/// cores, and for a file small enough to be hashed while it is still in the cache of its core.
const LEAF: u64 = 256 * 1024;

/// Below this a second thread costs more than it saves (starting one takes about 30 µs).
const PARALLEL_FROM: u64 = 1024 * 1024;

/// Brings a range of the data into a hasher, by way of a buffer where it has to be read. A thread has one buffer for all
/// that it reads.
type Bring<'a> = dyn Fn(Range<u64>, &mut Vec<u8>, &mut Hasher) -> io::Result<()> + Sync + 'a;

/// Hashes `len` bytes, of which `read` fills a buffer with those at an offset.
pub(crate) fn hash_read(
    len: u64,
    read: &(dyn Fn(&mut [u8], u64) -> io::Result<()> + Sync),
) -> io::Result<[u8; 32]> {
    hash(len, &|range, buffer, hasher| {
        buffer.resize(to_index(range.end - range.start), 0);
        read(buffer, range.start)?;
        hasher.update(buffer);
        Ok(())
    })
}

/// Hashes what stands in memory.
pub(crate) fn hash_slice(bytes: &[u8]) -> [u8; 32] {
    hash(bytes.len() as u64, &|range, _, hasher| {
        hasher.update(&bytes[to_index(range.start)..to_index(range.end)]);
        Ok(())
    })
    .unwrap_or_else(|error| unreachable!("memory cannot fail to be read: {error}"))
}

fn hash(len: u64, bring: &Bring<'_>) -> io::Result<[u8; 32]> {
    if len < PARALLEL_FROM {
        let (mut hasher, mut buffer) = (Hasher::new(), Vec::new());
        let mut start = 0;
        while start < len {
            let end = len.min(start + LEAF);
            bring(start..end, &mut buffer, &mut hasher)?;
            start = end;
        }
        return Ok(*hasher.finalize().as_bytes());
    }

    let leaves = parallel::map(to_index(len.div_ceil(LEAF)), || {
        let mut buffer = Vec::new();
        move |leaf| {
            let start = leaf as u64 * LEAF;
            let mut hasher = Hasher::new();
            hasher.set_input_offset(start);
            bring(start..len.min(start + LEAF), &mut buffer, &mut hasher)?;
            Ok(hasher.finalize_non_root())
        }
    })?;
    let left = left_subtree_len(len);
    let root = merge_subtrees_root(
        &subtree(&leaves, 0, left),
        &subtree(&leaves, left, len - left),
        Mode::Hash,
    );
    Ok(*root.as_bytes())
}

/// The chaining value of the subtree over `start..start + len`; its edges are edges of leaves.
fn subtree(leaves: &[ChainingValue], start: u64, len: u64) -> ChainingValue {
    if len <= LEAF {
        return leaves[to_index(start / LEAF)];
    }
    let left = left_subtree_len(len);
    merge_subtrees_non_root(
        &subtree(leaves, start, left),
        &subtree(leaves, start + left, len - left),
        Mode::Hash,
    )
}

/// Lengths here are of slices, or of leaves of files; both fit.
fn to_index(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_leaves_give_the_hash_that_one_pass_gives() {
        let data: Vec<u8> = (0..3 * 1024 * 1024 + 777_u32)
            .map(|n| (n % 251) as u8)
            .collect();
        for len in [
            0,
            1,
            1024,
            1 << 18,
            1 << 20,
            (1 << 20) + 1,
            2 << 20,
            data.len(),
        ] {
            let expected = *blake3::hash(&data[..len]).as_bytes();
            assert_eq!(hash_slice(&data[..len]), expected, "{len} bytes");
            let read = hash_read(len as u64, &|piece, offset| {
                let offset = to_index(offset);
                piece.copy_from_slice(&data[offset..offset + piece.len()]);
                Ok(())
            });
            assert_eq!(read.unwrap(), expected, "{len} bytes");
        }
    }

    #[test]
    fn an_error_of_any_leaf_is_the_answer() {
        let outcome = hash_read(4 << 20, &|_, offset| {
            if offset == 3 << 20 {
                return Err(io::Error::other("bad sector"));
            }
            Ok(())
        });
        assert_eq!(outcome.unwrap_err().to_string(), "bad sector");
    }
}
