//! BLAKE3 over all cores without a thread pool.
//!
//! `blake3`'s own parallelism runs on rayon's global pool. A cache must not: a thread that loads a module
//! and joins work there may be handed another load of the same module, and wait for itself. BLAKE3 is a
//! tree, so the leaves are hashed by scoped threads and merged here.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread;

use blake3::Hasher;
use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

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
    mode: &Mode<'_>,
    len: u64,
    read: &(dyn Fn(&mut [u8], u64) -> io::Result<()> + Sync),
) -> io::Result<[u8; 32]> {
    hash(mode, len, &|range, buffer, hasher| {
        buffer.resize(to_index(range.end - range.start), 0);
        read(buffer, range.start)?;
        hasher.update(buffer);
        Ok(())
    })
}

fn hash(mode: &Mode<'_>, len: u64, bring: &Bring<'_>) -> io::Result<[u8; 32]> {
    let threads = if len < PARALLEL_FROM { 1 } else { cores() };
    if threads == 1 {
        let (mut hasher, mut buffer) = (hasher(mode), Vec::new());
        let mut start = 0;
        while start < len {
            let end = len.min(start + LEAF);
            bring(start..end, &mut buffer, &mut hasher)?;
            start = end;
        }
        return Ok(*hasher.finalize().as_bytes());
    }

    let leaves = leaves(mode, len, threads, bring)?;
    let left = left_subtree_len(len);
    let root = merge_subtrees_root(
        &subtree(mode, &leaves, 0, left),
        &subtree(mode, &leaves, left, len - left),
        *mode,
    );
    Ok(*root.as_bytes())
}

/// Hashes what stands in memory, given as consecutive pieces.
pub(crate) fn hash_slices(mode: &Mode<'_>, pieces: [&[u8]; 2]) -> [u8; 32] {
    let split = pieces[0].len();
    let len = (split + pieces[1].len()) as u64;
    hash(mode, len, &|range, _, hasher| {
        let (start, end) = (to_index(range.start), to_index(range.end));
        hasher.update(&pieces[0][start.min(split)..end.min(split)]);
        hasher.update(&pieces[1][start.max(split) - split..end.max(split) - split]);
        Ok(())
    })
    .unwrap_or_else(|error| unreachable!("memory cannot fail to be read: {error}"))
}

/// As [`hash_slices`], while this thread does something else with them.
pub(crate) fn hash_slices_beside<T>(
    mode: &Mode<'_>,
    pieces: [&[u8]; 2],
    work: impl FnOnce() -> T,
) -> ([u8; 32], T) {
    let len = pieces[0].len() + pieces[1].len();
    if (len as u64) < PARALLEL_FROM || cores() == 1 {
        return (hash_slices(mode, pieces), work());
    }
    thread::scope(|scope| {
        let hashing = thread::Builder::new().spawn_scoped(scope, || hash_slices(mode, pieces));
        let done = work();
        let hash = match hashing {
            Ok(hashing) => hashing
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // A thread that cannot be started is done without.
            Err(_) => hash_slices(mode, pieces),
        };
        (hash, done)
    })
}

/// The chaining value of each leaf, in order.
fn leaves(
    mode: &Mode<'_>,
    len: u64,
    threads: usize,
    bring: &Bring<'_>,
) -> io::Result<Vec<ChainingValue>> {
    let count = to_index(len.div_ceil(LEAF));
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let mut results = Vec::new();
    results.try_reserve_exact(count)?;
    results.resize(count, ChainingValue::default());
    let results = Mutex::new(results);
    let work = || -> io::Result<()> {
        let mut buffer = Vec::new();
        while !failed.load(Ordering::Relaxed) {
            let leaf = next.fetch_add(1, Ordering::Relaxed);
            if leaf >= count {
                break;
            }
            let start = leaf as u64 * LEAF;
            let mut hasher = hasher(mode);
            hasher.set_input_offset(start);
            if let Err(error) = bring(start..len.min(start + LEAF), &mut buffer, &mut hasher) {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
            let value = hasher.finalize_non_root();
            results
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)[leaf] = value;
        }
        Ok(())
    };
    thread::scope(|scope| {
        // A thread that cannot be started is done without: the ones that run take all leaves.
        let helpers: Vec<_> = (1..threads.min(count))
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut outcome = work();
        for helper in helpers {
            outcome = outcome.and(
                helper
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        outcome
    })?;
    Ok(results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// The chaining value of the subtree over `start..start + len`; its edges are edges of leaves.
fn subtree(mode: &Mode<'_>, leaves: &[ChainingValue], start: u64, len: u64) -> ChainingValue {
    if len <= LEAF {
        return leaves[to_index(start / LEAF)];
    }
    let left = left_subtree_len(len);
    merge_subtrees_non_root(
        &subtree(mode, leaves, start, left),
        &subtree(mode, leaves, start + left, len - left),
        *mode,
    )
}

/// Asked for once: the answer takes reading several files of the system.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

fn hasher(mode: &Mode<'_>) -> Hasher {
    match mode {
        Mode::Hash => Hasher::new(),
        Mode::KeyedHash(key) => Hasher::new_keyed(key),
        Mode::DeriveKeyMaterial(key) => Hasher::new_from_context_key(key),
    }
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
            for split in [0, len / 3, len] {
                let (front, back) = data[..len].split_at(split);
                assert_eq!(
                    hash_slices(&Mode::Hash, [front, back]),
                    *blake3::hash(&data[..len]).as_bytes(),
                    "{len} bytes split at {split}"
                );
            }
        }
    }

    #[test]
    fn a_hash_is_the_same_beside_other_work() {
        let data = vec![7; 2 << 20];
        for len in [0, 1000, data.len()] {
            let (front, back) = data[..len].split_at(len / 3);
            let (hash, done) = hash_slices_beside(&Mode::Hash, [front, back], || back.len());
            assert_eq!(hash, *blake3::hash(&data[..len]).as_bytes());
            assert_eq!(done, back.len());
        }
    }

    #[test]
    fn every_mode_gives_the_hash_of_its_name() {
        let data = vec![7; 2 << 20];
        let key = [3; 32];
        let context = blake3::hazmat::hash_derive_key_context("test context");
        assert_eq!(
            hash_slices(&Mode::KeyedHash(&key), [&data, &[]]),
            *blake3::keyed_hash(&key, &data).as_bytes()
        );
        assert_eq!(
            hash_slices(&Mode::DeriveKeyMaterial(&context), [&data, &[]]),
            blake3::derive_key("test context", &data)
        );
    }

    #[test]
    fn an_error_of_any_leaf_is_the_answer() {
        let outcome = hash_read(&Mode::Hash, 4 << 20, &|_, offset| {
            if offset == 3 << 20 {
                return Err(io::Error::other("bad sector"));
            }
            Ok(())
        });
        assert_eq!(outcome.unwrap_err().to_string(), "bad sector");
    }
}
