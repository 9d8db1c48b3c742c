//! Asking for an entry: its end first, which says what it is, who made it and what its frames should be.
//!
//! So nothing is fetched that would be refused anyway, and a small entry takes one request.

use std::ops::Range;

use futures_util::TryStreamExt;
use module_cache_core::{Encoding, EntryKey, FOOTER_LEN, Footer, InvalidEntry, Seal, Trust};
use opendal::BytesRange;
use opendal::raw::Service as _;
use opendal::{ErrorKind, Operator};

use crate::failure::Failure;

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
    #[error("it takes {0} bytes, which is more than the cache accepts")]
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
) -> Result<Found, Failure> {
    match try_open(operator, path, key, demands).await {
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
) -> Result<Result<Header, Refusal>, Failure> {
    let mut tail = read_tail(operator, &path, TAIL).await?;
    let footer = match demands.check(key, &tail) {
        Ok(footer) => footer,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let behind = footer.manifest_len() + FOOTER_LEN as u64;
    if (tail.bytes.len() as u64) < behind {
        let range = tail.total - behind..tail.start();
        let mut bytes = read_range(operator, &path, range, tail.etag.as_deref()).await?;
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
    /// Fetches so many bytes of the entry, from there on.
    pub(crate) async fn read(
        &self,
        operator: &Operator,
        range: Range<u64>,
    ) -> Result<Vec<u8>, Failure> {
        let start = self.tail.start();
        let in_front = range.start..range.end.min(start);
        let mut bytes = if in_front.is_empty() {
            Vec::new()
        } else {
            read_range(operator, &self.path, in_front, self.tail.etag.as_deref()).await?
        };
        let in_tail = range.start.max(start)..range.end.max(start);
        let [from, to] = [in_tail.start, in_tail.end]
            .map(|at| usize::try_from(at - start).unwrap_or(usize::MAX));
        bytes.extend(self.tail.bytes.get(from..to).unwrap_or_default());
        Ok(bytes)
    }
}

/// Looks only at the footer of what lies at `path`.
pub(crate) async fn look(
    operator: &Operator,
    path: &str,
    key: &EntryKey,
    demands: &Demands,
) -> Result<bool, Failure> {
    match read_tail(operator, path, FOOTER_LEN as u64).await {
        Ok(tail) => {
            let checked = demands.check(key, &tail);
            Ok(checked.is_ok_and(|footer| demands.trust.check(&footer).is_ok()))
        }
        Err(failure) if failure.is_not_found() => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// The footer of what lies at `path`, whatever it is of, if it is an entry.
pub(crate) async fn footer(operator: &Operator, path: &str) -> Result<Option<Footer>, Failure> {
    match read_tail(operator, path, FOOTER_LEN as u64).await {
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
async fn read_tail(operator: &Operator, path: &str, len: u64) -> Result<Tail, Failure> {
    // OpenDAL makes up what a service has not, and panics when the object shrinks in the middle of that.
    if operator.base_service().capability().read_with_suffix {
        let suffix = BytesRange::suffix(len);
        let mut stream = operator.reader(path).await?.into_stream(suffix).await?;
        match stream.metadata().await {
            Ok(metadata) => {
                let total = metadata.content_length();
                return Ok(Tail {
                    bytes: collect(stream, len.min(total)).await?,
                    total,
                    etag: metadata.etag().map(str::to_owned),
                });
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
    let bytes = read_range(operator, path, range, etag.as_deref()).await?;
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
) -> Result<Vec<u8>, Failure> {
    let len = range.end - range.start;
    if len == 0 {
        return Ok(Vec::new());
    }
    let etag = etag.filter(|_| operator.info().capability().read_with_if_match);
    let mut reader = operator.reader_with(path);
    if let Some(etag) = etag {
        reader = reader.if_match(etag);
    }
    let read = async { collect(reader.await?.into_stream(range).await?, len).await };
    match read.await {
        Err(failure) if failure.is_lost_race() => Err(Failure::Gone),
        // Without a condition it shows in that the part is not there any more.
        Err(failure) if etag.is_none() && failure.is_wrong_length() => Err(Failure::Gone),
        outcome => outcome,
    }
}

/// All of a stream, if it has `len` bytes. One that goes on is not read any further.
async fn collect(mut stream: opendal::BufferStream, len: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    let wrong = |sent: usize| Failure::WrongLength {
        asked: len,
        sent: sent as u64,
    };
    while let Some(buffer) = stream.try_next().await? {
        for chunk in buffer {
            if bytes.len() as u64 + chunk.len() as u64 > len {
                return Err(wrong(bytes.len() + chunk.len()));
            }
            bytes.extend_from_slice(&chunk);
        }
    }
    if bytes.len() as u64 == len {
        Ok(bytes)
    } else {
        Err(wrong(bytes.len()))
    }
}
