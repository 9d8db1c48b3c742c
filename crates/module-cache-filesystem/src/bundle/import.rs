//! Reading a bundle, which may be damaged or hostile: it costs time in proportion to its real length and
//! memory in proportion to its largest real member, and what is not a proven entry is not stored.
//!
//! Only the header of the archive's own format is read: neither names, modes and owners nor the extensions
//! that could change them are looked at.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};

use module_cache_core::format::{FOOTER_LEN, Footer};
use module_cache_core::{CacheError, EntryStore, SaveOutcome, SealedEntry, SkipReason, Trust};
use tar::{Archive, EntryType, Header};

use super::{MAX_ENTRY, MAX_MEMBERS};
use crate::FileSystemCache;
use crate::directory::blocks;

/// The refusals that a report lists one by one.
const MAX_REFUSALS: usize = 1000;

/// The longest name in a report, in characters.
const MAX_NAME: usize = 200;

/// Names and attributes of other archivers are passed over; none that an archiver makes is longer.
const MAX_EXTENSION: u64 = 1 << 20;

/// What [`FileSystemCache::import`](crate::FileSystemCache::import) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportReport {
    /// Entries that were stored.
    pub stored: u64,
    /// Entries that were there already.
    pub present: u64,
    /// The size in bytes of what was stored.
    pub bytes: u64,
    /// The first thousand members that were not imported.
    pub refused: Vec<Refused>,
    /// The number of further members that were not imported.
    pub unlisted: u64,
}

/// A member of a bundle that was not imported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// Its name in the archive, made printable; or its number in parentheses, if the archive itself is damaged.
    pub member: String,
    /// The reason.
    pub reason: String,
}

/// Stores what is an entry under `trust`, and says what is not.
pub(crate) fn import(
    cache: &FileSystemCache,
    bundle: &mut dyn Read,
    trust: &Trust,
) -> Result<ImportReport, CacheError> {
    if !cache.is_writable() {
        let error = io::ErrorKind::ReadOnlyFilesystem.into();
        return Err(CacheError::io("import into", cache.root(), error));
    }
    let watch = Watch::default();
    let mut archive = Archive::new(Watched {
        bundle,
        watch: &watch,
    });
    let mut import = Import {
        cache,
        max_size: cache.max_size()?,
        trust,
        report: ImportReport::default(),
        failure: None,
    };
    let ended = import.members(&mut archive, &watch);
    // What the reader itself could not do is no property of the bundle.
    if let Some(error) = watch.failure.take() {
        return Err(unreadable(error));
    }
    ended?;
    let report = import.report;
    if let Some(failure) = import.failure {
        if report.stored == 0 && report.present == 0 {
            return Err(failure);
        }
    }
    if report.stored == 0 && report.present == 0 && report.refused.is_empty() {
        return Err(no_bundle("there are none"));
    }
    Ok(report)
}

struct Import<'a> {
    cache: &'a FileSystemCache,
    max_size: u64,
    trust: &'a Trust,
    report: ImportReport,
    /// The first error of the folder.
    failure: Option<CacheError>,
}

/// An error and what is behind it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Import<'_> {
    fn members<R: Read>(
        &mut self,
        archive: &mut Archive<R>,
        watch: &Watch,
    ) -> Result<(), CacheError> {
        let mut number = 0;
        for member in archive.entries().map_err(unreadable)?.raw(true) {
            number += 1;
            let mut member = match member {
                Ok(member) => member,
                Err(_) if number == 1 => {
                    return Err(no_bundle(
                        "it is not a tar archive; if it is compressed, decompress it first",
                    ));
                }
                Err(error) => {
                    self.refuse_from(number, &error.to_string());
                    return Ok(());
                }
            };
            if number > MAX_MEMBERS {
                let reason = format!("a bundle can hold {MAX_MEMBERS} members");
                self.refuse_from(number, &reason);
                return Ok(());
            }
            let header = member.header().clone();
            // Of the archive's own header; without extensions, this is the length of the contents.
            let len = member.size();
            match self.examine(&header, len) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(reason) => {
                    self.refuse(&header, reason);
                    continue;
                }
            }
            // Not as much as the header claims: it grows with what is there.
            let mut bytes = Vec::new();
            if let Err(error) = member.by_ref().take(len).read_to_end(&mut bytes) {
                if watch.failure.borrow().is_some() {
                    return Ok(());
                }
                self.refuse(&header, error.to_string());
                continue;
            }
            if (bytes.len() as u64) < len {
                self.refuse(&header, "the bundle ends in the middle of it".into());
                return Ok(());
            }
            match self.store(bytes) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => self.refuse(&header, reason),
                // One name may be in a bad way, and others in a good one.
                Err(error) => {
                    self.refuse(&header, with_causes(&error));
                    self.failure.get_or_insert(error);
                }
            }
        }
        // Of what is empty altogether, nothing was cut off.
        if watch.at_end.get() && number > 0 {
            self.refuse_from(number + 1, "the bundle has no end: it was cut short");
        }
        Ok(())
    }

    /// Whether a member with this header shall be read, or passed over; or why it is refused.
    fn examine(&self, header: &Header, len: u64) -> Result<bool, String> {
        match header.entry_type() {
            EntryType::Regular => {}
            EntryType::Directory => return Ok(false),
            EntryType::GNULongName
            | EntryType::GNULongLink
            | EntryType::XHeader
            | EntryType::XGlobalHeader => {
                return if len <= MAX_EXTENSION {
                    Ok(false)
                } else {
                    Err(format!("it is an extended header of {len} bytes"))
                };
            }
            kind => return Err(format!("it is {}, not a regular file", name_of(kind))),
        }
        if len < FOOTER_LEN as u64 {
            return Err(format!("it is not an entry: {len} bytes are too few"));
        }
        self.check_len(len)?;
        Ok(true)
    }

    fn check_len(&self, len: u64) -> Result<(), String> {
        if len > MAX_ENTRY || blocks(len) > self.max_size {
            return Err(format!("{}: {len} bytes", SkipReason::TooLarge));
        }
        Ok(())
    }

    /// The outer error is one of the cache; the folder one, of this member alone.
    fn store(&mut self, bytes: Vec<u8>) -> Result<Result<(), String>, CacheError> {
        let footer = match Footer::parse(&bytes) {
            Ok(footer) => footer,
            Err(reason) => return Ok(Err(reason.to_string())),
        };
        // What it claims to become is no more believed than what it is.
        if let Err(reason) = self.check_len(footer.artifact_len()) {
            return Ok(Err(reason));
        }
        let opened =
            SealedEntry::open_transported(bytes, footer.key(), self.trust, &super::decompress);
        let entry = match opened {
            Ok(entry) => entry,
            Err(reason) => return Ok(Err(reason.to_string())),
        };
        let key = entry.key();
        if self.cache.exists(key)? {
            self.report.present += 1;
            return Ok(Ok(()));
        }
        match self.cache.put(key, &entry)? {
            SaveOutcome::Stored { bytes } => {
                self.report.stored += 1;
                self.report.bytes += bytes;
            }
            SaveOutcome::Skipped(SkipReason::AlreadyStored) => self.report.present += 1,
            SaveOutcome::Skipped(reason) => return Ok(Err(reason.to_string())),
        }
        Ok(Ok(()))
    }

    fn refuse(&mut self, header: &Header, reason: String) {
        let member = printable(&header.path_bytes());
        self.list(Refused { member, reason });
    }

    /// Refuses the member of this number and all behind it.
    fn refuse_from(&mut self, number: u64, reason: &str) {
        self.list(Refused {
            member: format!("(member {number})"),
            // The archive's reader quotes what it cannot read.
            reason: format!(
                "nothing is read from here on: {}",
                printable(reason.as_bytes())
            ),
        });
    }

    fn list(&mut self, refused: Refused) {
        if self.report.refused.len() < MAX_REFUSALS {
            self.report.refused.push(refused);
        } else {
            self.report.unlisted += 1;
        }
    }
}

/// What is known of a stream beyond what the archive's reader says.
#[derive(Debug, Default)]
struct Watch {
    /// The error of the stream, as against one of the archive.
    failure: RefCell<Option<io::Error>>,
    /// Whether it was read to its end. A whole archive has its own end in front of that.
    at_end: Cell<bool>,
}

struct Watched<'a> {
    bundle: &'a mut dyn Read,
    watch: &'a Watch,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.bundle.read(buffer) {
                Ok(count) => {
                    self.watch.at_end.set(count == 0 && !buffer.is_empty());
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let kind = error.kind();
                    self.watch.failure.replace(Some(error));
                    return Err(kind.into());
                }
            }
        }
    }
}

fn unreadable(error: io::Error) -> CacheError {
    CacheError::backend("the bundle", "read what is", error)
}

fn no_bundle(reason: &'static str) -> CacheError {
    CacheError::backend("the bundle", "find entries", reason)
}

fn name_of(kind: EntryType) -> String {
    match kind {
        EntryType::Link => "a hard link".into(),
        EntryType::Symlink => "a symbolic link".into(),
        EntryType::Char | EntryType::Block => "a device".into(),
        EntryType::Fifo => "a pipe".into(),
        EntryType::GNUSparse => "a sparse file".into(),
        other => format!("of type {}", other.as_byte().escape_ascii()),
    }
}

/// A name that does nothing to a terminal and fits on it.
fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .map(|char| match char {
            ' '..='~' => char,
            _ if char.is_alphanumeric() => char,
            _ => char::REPLACEMENT_CHARACTER,
        })
        .take(MAX_NAME)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn where_nothing_can_be_stored_nothing_is_read() {
        struct Untouched;
        impl Read for Untouched {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                unreachable!("the bundle was read")
            }
        }
        let keep = tempfile::tempdir().unwrap();
        let mut cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
        Arc::get_mut(&mut cache.folder).unwrap().ledger = None;
        // SAFETY: nothing is imported.
        let trust = unsafe { Trust::unauthenticated() };
        let error = import(&cache, &mut Untouched, &trust).unwrap_err();
        assert!(error.to_string().starts_with("cannot import into "));
    }
}
