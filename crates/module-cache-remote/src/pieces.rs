//! The content of an entry on its way here: a few requests at a time, each of which is streamed, and each frame of it proven and
//! decompressed by whoever stores it while the next ones come.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, mem, slice};

use module_cache_core::InvalidEntry;
use module_cache_core::format::{Frame, Incoming};
use opendal::Operator;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::attempts::Attempts;
use crate::failure::Failure;
use crate::fetch::Header;
use crate::flow::Flow;
use crate::random::Random;
use crate::stats::RemoteCounters;
use crate::{codec, io_thread};

/// An entry is asked for in so many parts at a time, each of which is streamed: one connection to an object storage is slower
/// than the network. Parts of a large entry are as large as those of one with so many of the largest.
const CONCURRENT: u64 = 4;

/// The smallest and the largest part that one request asks for, in bytes, but for one frame that has more: a request costs
/// money and time.
const SMALLEST: u64 = 2 << 20;
const LARGEST: u64 = 8 << 20;

/// What has come is handed on when it has at least so many bytes, in whole frames.
const HANDED_ON: u64 = 256 << 10;

/// How many of these wait to be taken, for each part.
const WAITING: usize = 2;

type Answer = Result<Vec<u8>, Failure>;

/// The content of an entry, which is fetched from when it is first asked for.
#[derive(Debug)]
pub(crate) struct Pieces {
    source: Source,
    header: Arc<Header>,
    answers: Mutex<Option<mpsc::Receiver<Answer>>>,
    started: AtomicBool,
    outcome: Mutex<Outcome>,
}

/// What pieces come from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) operator: Operator,
    pub(crate) flow: Arc<Flow>,
    pub(crate) remote: Arc<RemoteCounters>,
    pub(crate) random: Random,
}

/// What is known when the content was taken, or could not be.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) bytes: u64,
    pub(crate) failure: Option<Failure>,
    pub(crate) invalid: Option<InvalidEntry>,
}

impl Pieces {
    pub(crate) fn new(source: Source, header: Header) -> Self {
        Self {
            source,
            header: Arc::new(header),
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
        let (pieces, come) = mpsc::channel(WAITING);
        let header = Arc::clone(&self.header);
        io_thread::spawn(deliver(self.source.clone(), header, pieces))?;
        Ok(come)
    }
}

impl Incoming for Pieces {
    fn next(&self) -> io::Result<Vec<u8>> {
        self.started.store(true, Ordering::Relaxed);
        let mut answers = self.answers.lock();
        let answer = match &mut *answers {
            Some(come) => Ok(come),
            none => self.start().map(|come| none.insert(come)),
        };
        let gone = Err(Failure::NoThread);
        let answer = answer.and_then(|come| io_thread::block_on(come.recv()).unwrap_or(gone));
        match answer {
            Ok(bytes) => {
                self.outcome.lock().bytes += bytes.len() as u64;
                Ok(bytes)
            }
            Err(failure) => {
                let text = failure.to_string();
                self.outcome.lock().failure.get_or_insert(failure);
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

/// Fetches all content, and hands it on in order, until nobody takes it any more.
pub(crate) async fn deliver(source: Source, header: Arc<Header>, to: mpsc::Sender<Answer>) {
    let parts = parts(header.seal.frames());
    let mut under_way = VecDeque::new();
    let mut parts = parts.into_iter();
    loop {
        while (under_way.len() as u64) < CONCURRENT
            && let Some(part) = parts.next()
        {
            let (send, come) = mpsc::channel(WAITING);
            let (source, header) = (source.clone(), Arc::clone(&header));
            tokio::spawn(async move {
                if let Err(failure) = stream(&source, &header, part, &send).await {
                    let _ = send.send(Err(failure)).await;
                }
            });
            under_way.push_back(come);
        }
        let Some(mut first) = under_way.pop_front() else {
            return;
        };
        while let Some(piece) = first.recv().await {
            let failed = piece.is_err();
            if to.send(piece).await.is_err() || failed {
                return;
            }
        }
    }
}

/// Fetches a part, and hands on whole frames of it as they come.
async fn stream(
    source: &Source,
    header: &Header,
    mut part: Part,
    to: &mpsc::Sender<Answer>,
) -> Result<(), Failure> {
    if let Some(bytes) = header.in_tail(&part.bytes) {
        // It is there already.
        let _ = to.send(Ok(bytes.to_vec())).await;
        return Ok(());
    }
    let mut attempts = Attempts::new(&source.remote, &source.random, source.flow.limit);
    loop {
        let streamed = stream_once(source, header, &mut part, to).await;
        match &streamed {
            Err(failure) if attempts.another_after(failure).await => {}
            _ => return streamed,
        }
    }
}

/// The same from what of the part was not handed on yet.
async fn stream_once(
    source: &Source,
    header: &Header,
    part: &mut Part,
    to: &mpsc::Sender<Answer>,
) -> Result<(), Failure> {
    let Source { operator, flow, .. } = source;
    let mut turn = Some(flow.turn().await?);
    let frames = part.frames.clone();
    let mut pieces = Cut::new(&header.seal.frames()[frames]);
    let mut chunks = flow
        .within_limit(header.open(operator, flow, part.bytes.clone()))
        .await?;
    while let Some(chunk) = flow.within_limit(chunks.next()).await? {
        let mut chunk = &chunk[..];
        while !chunk.is_empty() {
            chunk = pieces.take(chunk);
            let Some(piece) = pieces.cut() else {
                continue;
            };
            part.bytes.start += piece.len() as u64;
            part.frames.start = part.frames.end - pieces.frames.len() - pieces.in_next;
            if let Err(piece) = to.try_send(Ok(piece)) {
                // Whoever takes it is slow, and holds up nobody else.
                turn = None;
                if to.send(piece.into_inner()).await.is_err() {
                    return Ok(());
                }
            }
        }
        if turn.is_none() {
            turn = Some(flow.turn().await?);
        }
    }
    Ok(())
}

/// Cuts what comes into pieces of whole frames.
struct Cut<'a> {
    frames: slice::Iter<'a, Frame>,
    /// How long the next piece is, and how many frames are in it.
    next: u64,
    in_next: usize,
    bytes: Vec<u8>,
}

impl<'a> Cut<'a> {
    fn new(frames: &'a [Frame]) -> Self {
        let mut cut = Self {
            frames: frames.iter(),
            next: 0,
            in_next: 0,
            bytes: Vec::new(),
        };
        cut.advance();
        cut
    }

    fn advance(&mut self) {
        (self.next, self.in_next) = (0, 0);
        while self.next < HANDED_ON
            && let Some(frame) = self.frames.next()
        {
            self.next += frame.stored_len() as u64;
            self.in_next += 1;
        }
        self.bytes = Vec::with_capacity(usize::try_from(self.next).unwrap_or(0));
    }

    /// Takes what belongs to the next piece, and returns what does not.
    fn take<'c>(&mut self, chunk: &'c [u8]) -> &'c [u8] {
        let missing = usize::try_from(self.next).unwrap_or(usize::MAX) - self.bytes.len();
        let (taken, rest) = chunk.split_at(missing.min(chunk.len()));
        self.bytes.extend_from_slice(taken);
        rest
    }

    fn cut(&mut self) -> Option<Vec<u8>> {
        if (self.bytes.len() as u64) < self.next {
            return None;
        }
        let piece = mem::take(&mut self.bytes);
        self.advance();
        Some(piece)
    }
}

/// Frames that one request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    frames: Range<usize>,
    bytes: Range<u64>,
}

fn parts(frames: &[Frame]) -> Vec<Part> {
    let len: u64 = frames.iter().map(|frame| frame.stored_len() as u64).sum();
    let most = len.div_ceil(CONCURRENT).clamp(SMALLEST, LARGEST);
    let mut parts: Vec<Part> = Vec::new();
    let mut end = 0;
    for (index, frame) in frames.iter().enumerate() {
        let start = end;
        end += frame.stored_len() as u64;
        match parts.last_mut() {
            Some(last) if end - last.bytes.start <= most => {
                last.bytes.end = end;
                last.frames.end = index + 1;
            }
            _ => parts.push(Part {
                frames: index..index + 1,
                bytes: start..end,
            }),
        }
    }
    parts
}
