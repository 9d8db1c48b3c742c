//! Bringing an entry: its end first, which says what it is and how long, then the rest.
//!
//! So nothing is fetched that would be refused anyway, memory grows with what arrives and not beyond what the
//! footer states, and a small entry takes one request. Nothing here is proven yet.

use std::ops::Range;

use futures_util::{StreamExt, TryStreamExt, stream};
use module_cache_core::{EntryKey, FOOTER_LEN, Footer, InvalidEntry, Trust};
use opendal::BytesRange;
use opendal::raw::Service as _;
use opendal::{ErrorKind, Operator};

use crate::failure::Failure;

/// What the first request asks for. Entries up to this come whole.
const TAIL: u64 = 64 << 10;

/// What each further request asks for, and how many are under way at a time: one connection to an object
/// storage is slower than the network.
const PIECE: u64 = 4 << 20;
const CONCURRENT: usize = 4;

/// What is at an entry's place.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    /// Something that need not be fetched, because it would not be accepted.
    Refused(Refusal),
    /// All of it, unproven.
    Entry(Vec<u8>),
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

/// Fetches what lies at `path`, if it says that it is an acceptable entry of `key`.
pub(crate) async fn fetch(
    operator: &Operator,
    path: &str,
    key: &EntryKey,
    demands: &Demands,
) -> Result<Found, Failure> {
    let tail = match read_tail(operator, path, TAIL).await {
        Ok(tail) => tail,
        Err(failure) if failure.is_not_found() => return Ok(Found::Nothing),
        Err(failure) => return Err(failure),
    };
    if let Err(refusal) = demands.check(key, &tail) {
        return Ok(Found::Refused(refusal));
    }
    match read_front(operator, path, tail).await {
        Ok(entry) => Ok(Found::Entry(entry)),
        Err(failure) if failure.is_not_found() => Ok(Found::Nothing),
        Err(failure) => Err(failure),
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
        Ok(tail) => Ok(demands.check(key, &tail).is_ok()),
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
    fn check(&self, key: &EntryKey, tail: &Tail) -> Result<(), Refusal> {
        let footer = Footer::parse(&tail.bytes)?;
        footer.check_stored(key, tail.total)?;
        self.trust.check(&footer)?;
        let largest = tail.total.max(footer.artifact_len());
        if largest > self.max_entry_size {
            return Err(Refusal::TooLarge(largest));
        }
        Ok(())
    }
}

/// The end of an object.
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
    fn empty() -> Self {
        Self {
            bytes: Vec::new(),
            total: 0,
            etag: None,
        }
    }
}

/// The whole object, of which the end is there.
async fn read_front(operator: &Operator, path: &str, tail: Tail) -> Result<Vec<u8>, Failure> {
    let front = tail.total - tail.bytes.len() as u64;
    if front == 0 {
        return Ok(tail.bytes);
    }
    let etag = tail.etag.as_deref();
    let pieces = (0..front)
        .step_by(usize::try_from(PIECE).unwrap_or(usize::MAX))
        .map(|start| read_range(operator, path, start..front.min(start + PIECE), etag));
    let mut pieces = stream::iter(pieces).buffered(CONCURRENT);

    let mut entry = Vec::new();
    let total = usize::try_from(tail.total).map_err(std::io::Error::other)?;
    entry
        .try_reserve_exact(total)
        .map_err(std::io::Error::from)?;
    while let Some(piece) = pieces.try_next().await? {
        entry.extend(piece);
    }
    entry.extend(tail.bytes);
    Ok(entry)
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
    let mut bytes = Vec::new();
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
