//! Zstandard frames: how an artifact is cut up, compressed, and put together again on all cores.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::thread;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

/// What goes into one frame. Smaller ones compress worse, larger ones keep fewer cores busy.
const FRAME: usize = 4 << 20;

/// Machine code shrinks by two thirds at any level; higher ones cost much more and bring little.
const LEVEL: i32 = 3;

/// Compresses an artifact, on this thread: nobody waits for it.
pub(crate) fn compress(artifact: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = Compressor::new(LEVEL)?;
    let mut frames = Vec::new();
    for piece in artifact.chunks(FRAME) {
        frames.extend(compressor.compress(piece)?);
    }
    Ok(frames)
}

/// Decompresses frames to exactly `len` bytes, on all cores.
///
/// Memory is taken only when the lengths that the frames state add up to `len`.
pub(crate) fn decompress(frames: &[u8], len: u64) -> io::Result<Vec<u8>> {
    let frames = split(frames)?;
    let sum = frames
        .iter()
        .try_fold(0_u64, |sum, frame| sum.checked_add(frame.content_len));
    let len = match usize::try_from(len) {
        Ok(len) if sum == Some(len as u64) => len,
        _ => return Err(invalid("the frames do not hold what they should")),
    };
    let mut artifact = Vec::new();
    artifact.try_reserve_exact(len)?;
    artifact.resize(len, 0);

    let count = frames.len();
    let mut rest = &mut artifact[..];
    let mut jobs = Vec::with_capacity(count);
    for frame in frames {
        let (place, after) = rest.split_at_mut(usize::try_from(frame.content_len).unwrap_or(len));
        rest = after;
        jobs.push((frame.bytes, place));
    }
    let jobs = Mutex::new(jobs);
    let work = || -> io::Result<()> {
        let mut decompressor = Decompressor::new()?;
        loop {
            let job = jobs
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .pop();
            let Some((frame, place)) = job else {
                return Ok(());
            };
            if decompressor.decompress_to_buffer(frame, place)? != place.len() {
                return Err(invalid("a frame is shorter than it says"));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        // A thread that cannot be started is done without: the ones that run take all frames.
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
    Ok(artifact)
}

struct Frame<'a> {
    bytes: &'a [u8],
    content_len: u64,
}

/// Finds where each frame ends and what it says that it holds.
fn split(mut rest: &[u8]) -> io::Result<Vec<Frame<'_>>> {
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = zstd_safe::find_frame_compressed_size(rest)
            .map_err(|_| invalid("there is something that is no frame"))?;
        let (bytes, after) = rest
            .split_at_checked(len)
            .ok_or_else(|| invalid("a frame is cut short"))?;
        let content_len = zstd_safe::get_frame_content_size(bytes)
            .ok()
            .flatten()
            .ok_or_else(|| invalid("a frame does not say how long its content is"))?;
        frames.push(Frame { bytes, content_len });
        rest = after;
    }
    Ok(frames)
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use module_cache_testkit::wasm;

    use super::*;

    #[test]
    fn any_length_comes_back() {
        for len in [16, 17, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 5] {
            let artifact = wasm(7, len);
            let frames = compress(&artifact).unwrap();
            assert!(decompress(&frames, len as u64).unwrap() == artifact);
            assert!(decompress(&frames, len as u64 + 1).is_err());
            assert!(decompress(&frames, len as u64 - 1).is_err());
        }
        assert!(compress(&[]).unwrap().is_empty());
        assert!(decompress(&[], 0).unwrap().is_empty());
    }

    #[test]
    fn what_is_compressed_is_smaller() {
        let code: Vec<u8> = wasm(1, 1000).repeat(1000);
        assert!(compress(&code).unwrap().len() < code.len() / 10);
    }

    #[test]
    fn a_frame_that_hides_its_length_or_lies_about_it_is_refused() {
        let mut hidden = Compressor::new(LEVEL).unwrap();
        hidden
            .set_parameter(zstd_safe::CParameter::ContentSizeFlag(false))
            .unwrap();
        let frame = hidden.compress(&[7; 1000]).unwrap();
        assert!(decompress(&frame, 1000).is_err());

        // A bomb: a frame of 1 GiB of zeros, where much less or the same is expected.
        let honest = compress(&[7; 1000]).unwrap();
        assert!(decompress(&honest, u64::MAX).is_err());
        for cut in 1..honest.len() {
            assert!(decompress(&honest[..cut], 1000).is_err());
        }
    }
}
