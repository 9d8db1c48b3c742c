//! Content that comes piece by piece, and is proven, decompressed and put in its place as it comes.

use std::fmt::Debug;
use std::io;
use std::sync::{Mutex, PoisonError};

use crate::manifest::{FRAME_LEN, Frame};
use crate::{InvalidEntry, Seal, parallel};

/// Where content is put: bytes, and their offset in it.
pub(crate) type Place<'a> = dyn Fn(u64, &[u8]) -> io::Result<()> + Sync + 'a;

/// Decompresses a frame to exactly as many bytes as there is room for.
pub(crate) type Decompress<'a> = dyn Fn(&[u8], &mut [u8]) -> io::Result<()> + Sync + 'a;

/// The content of an entry on its way from another storage, as it is transported. Nothing of it is proven.
pub trait Incoming: Debug + Sync {
    /// Waits for what comes next: one whole frame or more, in order. Called by one thread at a time.
    ///
    /// # Errors
    ///
    /// When nothing comes any more.
    fn next(&self) -> io::Result<Vec<u8>>;

    /// Decompresses a frame, which is what its writer stored, to exactly as many bytes as there is room for.
    ///
    /// # Errors
    ///
    /// When it cannot be decompressed to these.
    fn decompress(&self, stored: &[u8], content: &mut [u8]) -> io::Result<()>;

    /// Hears that what came is not what the entry was made of.
    fn refused(&self, reason: &InvalidEntry);
}

/// Puts all content in its place, on at most so many threads; on one, in order.
pub(crate) fn receive(
    seal: &Seal,
    from: &dyn Incoming,
    threads: usize,
    place: &Place<'_>,
) -> io::Result<()> {
    let frames = seal.frames();
    let next = Mutex::new(0);
    let refuse = |reason: InvalidEntry| {
        from.refused(&reason);
        io::Error::new(io::ErrorKind::InvalidData, reason)
    };
    let decompress = |stored: &[u8], content: &mut [u8]| from.decompress(stored, content);
    parallel::on_all_cores(threads.min(frames.len()), &|| {
        let mut buffer = Vec::new();
        loop {
            // Held while waiting: who comes later waits for what comes later.
            let mut first = next.lock().unwrap_or_else(PoisonError::into_inner);
            if *first >= frames.len() {
                return Ok(());
            }
            let piece = match from.next() {
                Ok(piece) => piece,
                Err(error) => {
                    // The others need not ask again.
                    *first = frames.len();
                    return Err(error);
                }
            };
            let count = count(&frames[*first..], piece.len());
            let index = *first;
            *first = count.map_or(frames.len(), |count| index + count);
            drop(first);
            let count = count.ok_or_else(|| refuse(OUT_OF_STEP))?;
            let mut rest = &piece[..];
            for (frame, index) in frames[index..index + count].iter().zip(index..) {
                let (stored, after) = rest.split_at(frame.stored_len());
                rest = after;
                let put = decode(frame, stored, &mut buffer, &decompress)
                    .map_err(refuse)
                    .and_then(|content| place((index * FRAME_LEN) as u64, content));
                if let Err(error) = put {
                    // What else comes is of no use.
                    *next.lock().unwrap_or_else(PoisonError::into_inner) = frames.len();
                    return Err(error);
                }
            }
        }
    })
}

const OUT_OF_STEP: InvalidEntry = InvalidEntry::Corrupt("its frames are not where they should be");

/// How many frames these bytes are, if they are whole ones.
fn count(frames: &[Frame], mut len: usize) -> Option<usize> {
    let mut count = 0;
    while len > 0 {
        len = len.checked_sub(frames.get(count)?.stored_len())?;
        count += 1;
    }
    (count > 0).then_some(count)
}

/// The content of a frame: proven as it is stored, then decompressed, then proven again, as whoever decompresses need not
/// be trusted.
pub(crate) fn decode<'a>(
    frame: &Frame,
    stored: &'a [u8],
    buffer: &'a mut Vec<u8>,
    decompress: &Decompress<'_>,
) -> Result<&'a [u8], InvalidEntry> {
    frame.check_stored(stored)?;
    if frame.is_raw() {
        return Ok(stored);
    }
    buffer.resize(frame.content_len(), 0);
    decompress(stored, buffer)
        .map_err(|_| InvalidEntry::Corrupt("a frame of it cannot be decompressed"))?;
    frame.check_content(buffer)?;
    Ok(buffer)
}
