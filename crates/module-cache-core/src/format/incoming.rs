//! Content that arrives in pieces, and is verified, decompressed and written as it arrives.

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::manifest::{FRAME_LEN, Frame};
use super::seal::Seal;
use crate::{InvalidEntry, parallel};

/// Where content is put: bytes, and their offset in it.
pub(crate) type Place<'a> = dyn Fn(u64, &[u8]) -> io::Result<()> + Sync + 'a;

/// Decompresses a frame to exactly as many bytes as there is room for.
pub(crate) type Decompress<'a> = dyn Fn(&[u8], &mut [u8]) -> io::Result<()> + Sync + 'a;

/// The content of an entry that is arriving from another storage, in transport encoding. None of it is verified yet.
pub trait Incoming: Debug + Sync {
    /// Waits for the next piece: one whole frame or more, in order. Called by one thread at a time.
    ///
    /// # Errors
    ///
    /// When no more content arrives.
    fn next(&self) -> io::Result<Vec<u8>>;

    /// Decompresses a frame, whose stored form was verified, into a buffer that it fills exactly.
    ///
    /// # Errors
    ///
    /// When the frame cannot be decompressed to that length.
    fn decompress(&self, stored: &[u8], content: &mut [u8]) -> io::Result<()>;

    /// Called when the content that arrived is not that of the entry.
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
    let arrived = Mutex::new(Arrived::default());
    let refuse = |reason: InvalidEntry| {
        from.refused(&reason);
        io::Error::new(io::ErrorKind::InvalidData, reason)
    };
    let decompress = |stored: &[u8], content: &mut [u8]| from.decompress(stored, content);
    // Held while waiting: who comes later waits for what comes later.
    let lock = || arrived.lock().unwrap_or_else(PoisonError::into_inner);
    parallel::on_all_cores(threads.min(frames.len()), &|| {
        let mut buffer = Vec::new();
        loop {
            let taken = lock().take(frames, from);
            let put = match taken {
                Ok(Some(Taken { index, piece, at })) => {
                    decode(&frames[index], &piece[at], &mut buffer, &decompress)
                        .map_err(refuse)
                        .and_then(|content| place((index * FRAME_LEN) as u64, content))
                }
                Ok(None) => return Ok(()),
                Err(NotTaken::OutOfStep) => Err(refuse(InvalidEntry::Corrupt(
                    "its frames are not where they should be",
                ))),
                Err(NotTaken::Lost(error)) => Err(error),
            };
            if let Err(error) = put {
                // What else comes is of no use.
                lock().frames = frames.len();
                return Err(error);
            }
        }
    })
}

/// What has come, and is not taken.
#[derive(Default)]
struct Arrived {
    piece: Arc<Vec<u8>>,
    /// How much of the piece is taken.
    bytes: usize,
    /// How many frames are taken.
    frames: usize,
}

/// A frame in what has come.
struct Taken {
    index: usize,
    piece: Arc<Vec<u8>>,
    at: Range<usize>,
}

/// Why there is no next frame.
enum NotTaken {
    OutOfStep,
    Lost(io::Error),
}

impl Arrived {
    /// Takes the next frame; `None` when all are taken.
    fn take(&mut self, frames: &[Frame], from: &dyn Incoming) -> Result<Option<Taken>, NotTaken> {
        let index = self.frames;
        let Some(frame) = frames.get(index) else {
            return Ok(None);
        };
        if self.bytes == self.piece.len() {
            self.piece = Arc::new(from.next().map_err(NotTaken::Lost)?);
            self.bytes = 0;
        }
        let at = self.bytes..self.bytes + frame.stored_len();
        self.bytes = at.end;
        self.frames += 1;
        let is_last = self.frames == frames.len();
        if at.end > self.piece.len() || (is_last && at.end != self.piece.len()) {
            return Err(NotTaken::OutOfStep);
        }
        let piece = Arc::clone(&self.piece);
        Ok(Some(Taken { index, piece, at }))
    }
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
