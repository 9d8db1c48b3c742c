//! The content of an entry on its way here: pieces of a few frames, several of them asked for at a time, and each proven
//! and decompressed by whoever stores it while the next ones come.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use module_cache_core::{Frame, Incoming, InvalidEntry};
use opendal::Operator;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;
use crate::fetch::Header;
use crate::{codec, io_thread};

/// An entry is asked for in so many pieces: what comes last is decompressed when nothing comes any more.
const PIECES: u64 = 16;

/// The smallest and the largest piece that one request asks for, in bytes, but for one frame that has more.
const SMALLEST: u64 = 512 << 10;
const LARGEST: u64 = 2 << 20;

/// How many requests are under way at a time: one connection to an object storage is slower than the network.
const CONCURRENT: usize = 4;

/// How many pieces are under way or wait to be taken.
const IN_FLIGHT: usize = 3 * CONCURRENT;

type Answer = Result<(Vec<u8>, OwnedSemaphorePermit), Failure>;

/// The content of an entry, which is fetched from when it is first asked for.
#[derive(Debug)]
pub(crate) struct Pieces {
    operator: Operator,
    header: Arc<Header>,
    /// How long a piece may take to come.
    time_limit: Duration,
    answers: Mutex<Option<mpsc::Receiver<Answer>>>,
    started: AtomicBool,
    outcome: Mutex<Outcome>,
}

/// What is known when the content was taken, or could not be.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    pub(crate) failure: Option<Failure>,
    pub(crate) invalid: Option<InvalidEntry>,
}

impl Pieces {
    pub(crate) fn new(operator: Operator, header: Header, time_limit: Duration) -> Self {
        Self {
            operator,
            header: Arc::new(header),
            time_limit,
            answers: Mutex::default(),
            started: AtomicBool::new(false),
            outcome: Mutex::default(),
        }
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Whether somebody has asked for content.
    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        self.outcome.into_inner()
    }

    fn start(&self) -> Result<mpsc::Receiver<Answer>, Failure> {
        let (sender, receiver) = mpsc::channel();
        let (room, turns) = (
            Arc::new(Semaphore::new(IN_FLIGHT)),
            Semaphore::new(CONCURRENT),
        );
        let (operator, header, limit) = (
            self.operator.clone(),
            Arc::clone(&self.header),
            self.time_limit,
        );
        io_thread::spawn(async move {
            let ranges = ranges(header.seal.frames());
            let pieces = ranges.into_iter().map(|range| {
                let (room, turns, operator, header) = (&room, &turns, &operator, &header);
                async move {
                    // In order: the first that is waited for has room first.
                    let room = Arc::clone(room).acquire_owned().await;
                    let room = room.map_err(|_| Failure::NoThread)?;
                    let _turn = turns.acquire().await;
                    let bytes = io_thread::in_time(limit, header.read(operator, range)).await?;
                    Ok((bytes, room))
                }
            });
            let mut pieces = stream::iter(pieces).buffered(IN_FLIGHT);
            while let Some(piece) = pieces.next().await {
                let failed = piece.is_err();
                // Nobody takes it who was refused a piece, or has no room.
                if sender.send(piece).is_err() || failed {
                    break;
                }
            }
        })?;
        Ok(receiver)
    }
}

impl Incoming for Pieces {
    fn next(&self) -> io::Result<Vec<u8>> {
        self.started.store(true, Ordering::Relaxed);
        let mut answers = self.answers.lock();
        let answer = if let Some(answers) = &*answers {
            answers.recv().unwrap_or(Err(Failure::NoThread))
        } else {
            self.start().and_then(|receiver| {
                let answers = answers.insert(receiver);
                answers.recv().unwrap_or(Err(Failure::NoThread))
            })
        };
        match answer {
            Ok((bytes, room)) => {
                drop(room);
                self.outcome.lock().bytes += bytes.len() as u64;
                Ok(bytes)
            }
            Err(failure) => {
                let text = failure.to_string();
                self.outcome.lock().failure = Some(failure);
                Err(io::Error::other(text))
            }
        }
    }

    fn decompress(&self, stored: &[u8], content: &mut [u8]) -> io::Result<()> {
        codec::decompress(stored, content)
    }

    fn refused(&self, reason: &InvalidEntry) {
        self.outcome.lock().invalid.get_or_insert(reason.clone());
    }
}

/// The ranges of whole frames that are asked for at a time.
fn ranges(frames: &[Frame]) -> Vec<Range<u64>> {
    let len: u64 = frames.iter().map(|frame| frame.stored_len() as u64).sum();
    let most = (len / PIECES).clamp(SMALLEST, LARGEST);
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let mut end = 0;
    for frame in frames {
        let start = end;
        end += frame.stored_len() as u64;
        match ranges.last_mut() {
            Some(last) if end - last.start <= most => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}
