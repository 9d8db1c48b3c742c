//! Asking for an entry: its end first, which says what it is, who made it and what its frames should be.
//!
//! So nothing is fetched that would be refused anyway, and a small entry takes one request.

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;
use module_cache_core::format::{Encoding, FOOTER_LEN, Footer, Seal};
use module_cache_core::{EntryKey, InvalidEntry, Trust};
use opendal::raw::Service as _;
use opendal::{Buffer, BytesRange};
use opendal::{ErrorKind, Operator};

use crate::failure::Failure;
use crate::flow::Flow;

/// What the first request asks for. Entries up to this come whole.
const TAIL: u64 = 64 << 10;

/// What is at an entry's place.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// Something that need not be fetched, because it would not be accepted.
    Refused(Refusal),
    Entry(Box<Header>),
}

/// An entry of which the end is there.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) seal: Seal,
    path: String,
    tail: Tail,
}

/// Why something is not an entry that may be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Invalid(#[from] InvalidEntry),
    #[error("it has {0} bytes, which is more than the cache accepts")]
    TooLarge(u64),
}

/// What a reader accepts.
#[derive(Debug, Clone)]
pub(crate) struct Demands {
    pub(crate) trust: Trust,
    pub(crate) max_entry_size: u64,
}

/// Fetches the end of what lies at `path`, if it says that it is an acceptable entry of `key`.
pub(crate) async fn open(
    operator: &Operator,
    path: String,
    key: &EntryKey,
    demands: &Demands,
    flow: &Flow,
) -> Result<Found, Failure> {
    match try_open(operator, path, key, demands, flow).await {
        Ok(Ok(header)) => Ok(Found::Entry(Box::new(header))),
        Ok(Err(refusal)) => Ok(Found::Refused(refusal)),
        Err(failure) if failure.is_not_found() => Ok(Found::Nothing),
        Err(failure) => Err(failure),
    }
}

async fn try_open(
    operator: &Operator,
    path: String,
    key: &EntryKey,
    demands: &Demands,
    flow: &Flow,
) -> Result<Result<Header, Refusal>, Failure> {
    let mut tail = read_tail(operator, &path, TAIL, flow).await?;
    let footer = match demands.check(key, &tail) {
        Ok(footer) => footer,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let behind = footer.manifest_len() + FOOTER_LEN as u64;
    if (tail.bytes.len() as u64) < behind {
        // It is a gigabyte of entry or more, if what says so is genuine.
        if let Err(invalid) = demands.trust.check(&footer) {
            return Ok(Err(invalid.into()));
        }
        let range = tail.total - behind..tail.start();
        let mut bytes = read_range(operator, &path, range, tail.etag.as_deref(), flow).await?;
        bytes.append(&mut tail.bytes);
        tail.bytes = bytes;
    }
    // Both are checked to be there.
    let from = tail.bytes.len() - usize::try_from(behind).unwrap_or(tail.bytes.len());
    let manifest = &tail.bytes[from..tail.bytes.len() - FOOTER_LEN];
    Ok(match Seal::open(footer, manifest, &demands.trust) {
        Ok(seal) => Ok(Header { seal, path, tail }),
        Err(invalid) => Err(invalid.into()),
    })
}

impl Header {
    /// These bytes of the entry, if they have come with its end.
    pub(crate) fn in_tail(&self, range: &Range<u64>) -> Option<&[u8]> {
        let start = self.tail.start();
        let from = usize::try_from(range.start.checked_sub(start)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(start)?).ok()?;
        self.tail.bytes.get(from..to)
    }

    /// Asks for these bytes of the entry.
    pub(crate) async fn open<'a>(
        &self,
        operator: &Operator,
        flow: &'a Flow,
        range: Range<u64>,
    ) -> Result<Chunks<'a>, Failure> {
        let start = self.tail.start();
        let in_front = range.start..range.end.min(start);
        let behind = range.start.max(start)..range.end.max(start);
        let mut chunks = open_range(
            operator,
            &self.path,
            in_front,
            self.tail.etag.as_deref(),
            flow,
        )
        .await?;
        chunks.last = self.in_tail(&behind).map(Bytes::copy_from_slice);
        Ok(chunks)
    }
}

/// Looks only at the footer of what lies at `path`.
pub(crate) async fn look(
    operator: &Operator,
    path: &str,
    key: &EntryKey,
    demands: &Demands,
    flow: &Flow,
) -> Result<bool, Failure> {
    match read_tail(operator, path, FOOTER_LEN as u64, flow).await {
        Ok(tail) => {
            let checked = demands.check(key, &tail);
            Ok(checked.is_ok_and(|footer| demands.trust.check(&footer).is_ok()))
        }
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The footer of what lies at `path`, whatever it is of, if it is an entry.
pub(crate) async fn footer(
    operator: &Operator,
    path: &str,
    flow: &Flow,
) -> Result<Option<Footer>, Failure> {
    match read_tail(operator, path, FOOTER_LEN as u64, flow).await {
        Ok(tail) => Ok(Footer::parse(&tail.bytes).ok()),
        Err(failure) if failure.is_not_found() => Ok(None),
        Err(failure) => Err(failure),
    }
}

impl Demands {
    fn check(&self, key: &EntryKey, tail: &Tail) -> Result<Footer, Refusal> {
        let footer = Footer::parse(&tail.bytes)?;
        let encoding = footer.check_stored(key, tail.total)?;
        if encoding == Encoding::Raw && footer.stored_len() != footer.artifact_len() {
            return Err(InvalidEntry::Corrupt("it is not in its transport encoding").into());
        }
        self.trust.check_key(footer.key_id())?;
        let largest = tail.total.max(footer.artifact_len());
        if largest > self.max_entry_size {
            return Err(Refusal::TooLarge(largest));
        }
        Ok(footer)
    }
}

/// The end of an object.
#[derive(Debug)]
struct Tail {
    bytes: Vec<u8>,
    /// Length of the whole object.
    total: u64,
    etag: Option<String>,
}

/// In one request where the service can, in two elsewhere.
async fn read_tail(
    operator: &Operator,
    path: &str,
    len: u64,
    flow: &Flow,
) -> Result<Tail, Failure> {
    // OpenDAL makes up what a service has not, and panics when the object shrinks in the middle of that.
    if operator.base_service().capability().read_with_suffix {
        let suffix = BytesRange::suffix(len);
        let mut stream = operator.reader(path).await?.into_stream(suffix).await?;
        match stream.metadata().await {
            Ok(metadata) => {
                let total = metadata.content_length();
                let etag = metadata.etag().map(str::to_owned);
                let mut chunks = Chunks::new(flow, len.min(total));
                chunks.stream = Some(stream);
                chunks.is_conditional = etag.is_some();
                let bytes = chunks.all().await?;
                return Ok(Tail { bytes, total, etag });
            }
            // There is nothing of which to send the end.
            Err(error) if error.kind() == ErrorKind::RangeNotSatisfied => return Ok(Tail::empty()),
            // It does not say how long the whole is.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(error.into()),
        }
    }
    let metadata = operator.stat(path).await?;
    let total = metadata.content_length();
    let etag = metadata.etag().map(str::to_owned);
    let range = total - len.min(total)..total;
    let bytes = read_range(operator, path, range, etag.as_deref(), flow).await?;
    Ok(Tail { bytes, total, etag })
}

impl Tail {
    /// Where it begins in the object.
    fn start(&self) -> u64 {
        self.total - self.bytes.len() as u64
    }

    fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            total: 0,
            etag: None,
        }
    }
}

/// A part of an object that was there a moment ago. That it has changed since is as if it were not there.
async fn read_range(
    operator: &Operator,
    path: &str,
    range: Range<u64>,
    etag: Option<&str>,
    flow: &Flow,
) -> Result<Vec<u8>, Failure> {
    let chunks = open_range(operator, path, range, etag, flow).await?;
    chunks.all().await
}

async fn open_range<'a>(
    operator: &Operator,
    path: &str,
    range: Range<u64>,
    etag: Option<&str>,
    flow: &'a Flow,
) -> Result<Chunks<'a>, Failure> {
    let mut chunks = Chunks::new(flow, range.end - range.start);
    if chunks.asked == 0 {
        return Ok(chunks);
    }
    let etag = etag.filter(|_| operator.info().capability().read_with_if_match);
    let mut reader = operator.reader_with(path);
    if let Some(etag) = etag {
        reader = reader.if_match(etag);
        chunks.is_conditional = true;
    }
    let stream = async { Ok(reader.await?.into_stream(range).await?) };
    chunks.stream = Some(
        stream
            .await
            .map_err(|failure| chunks.what_is_gone(failure))?,
    );
    Ok(chunks)
}

/// A part of an object as it comes.
pub(crate) struct Chunks<'a> {
    flow: &'a Flow,
    stream: Option<opendal::BufferStream>,
    /// What has come, and is not taken.
    come: Buffer,
    asked: u64,
    sent: u64,
    is_conditional: bool,
    /// What is handed on behind it.
    last: Option<Bytes>,
}

impl<'a> Chunks<'a> {
    /// None yet of so many bytes.
    fn new(flow: &'a Flow, asked: u64) -> Self {
        Self {
            flow,
            stream: None,
            come: Buffer::new(),
            asked,
            sent: 0,
            is_conditional: false,
            last: None,
        }
    }

    /// All of them.
    async fn all(mut self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.asked.min(TAIL)).unwrap_or(0));
        while let Some(chunk) = self.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// The next bytes; `None` behind the last. What is more than was asked for is not read.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some(chunk) = self.come.next() {
                if !chunk.is_empty() {
                    return Ok(Some(chunk));
                }
                continue;
            }
            let Some(stream) = &mut self.stream else {
                return Ok(self.last.take().filter(|last| !last.is_empty()));
            };
            let wrong = match stream.try_next().await {
                Ok(Some(come)) => {
                    self.flow.came();
                    self.sent += come.len() as u64;
                    self.come = come;
                    self.sent > self.asked
                }
                Ok(None) => {
                    self.stream = None;
                    self.sent != self.asked
                }
                Err(error) => return Err(self.what_is_gone(error.into())),
            };
            if wrong {
                let (asked, sent) = (self.asked, self.sent);
                if sent > asked {
                    return Err(Failure::NoRanges { asked, sent });
                }
                return Err(self.what_is_gone(Failure::WrongLength { asked, sent }));
            }
        }
    }

    fn what_is_gone(&self, failure: Failure) -> Failure {
        // Without a condition it shows in that the part is not there any more.
        if failure.is_lost_race() || (!self.is_conditional && failure.is_wrong_length()) {
            Failure::Gone
        } else {
            failure
        }
    }
}
