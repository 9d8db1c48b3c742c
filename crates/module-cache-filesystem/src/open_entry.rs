//! An entry's file, opened and examined as far as its footer tells.

use std::fs::File;
use std::io;
use std::time::Duration;

use module_cache_core::format::{FOOTER_LEN, Footer, Seal};
use module_cache_core::{EntryKey, InvalidEntry, KeyId, SealedEntry, Trust};

use crate::directory::{Attributes, Directory, Kind};
use crate::hints::Sight;
use crate::policy::Policy;
use crate::positional::read_exact_at;
use crate::{clock, trust_check};

/// Up to this size an entry is read in one call, with its footer: to map it takes longer.
pub(crate) const SMALL: u64 = 64 << 10;

/// From this size on an entry is compared with the limit of the folder, and verified once before it is read into memory:
/// who can write here could otherwise make us read and allocate what they like.
const LARGE: u64 = 64 << 20;

/// A file that says of itself that it is the entry it should be. Nothing is verified yet.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    file: File,
    attributes: Attributes,
    /// When the attributes were asked for.
    seen: Duration,
    footer: Footer,
    /// All of it, where it is small.
    read: Option<Vec<u8>>,
}

/// Why there is no entry to be had. None of these is an error of the cache.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is none.
    Missing,
    /// What is there is not a valid entry of this key.
    Invalid {
        reason: InvalidEntry,
        attributes: Attributes,
    },
    /// What is there cannot be looked at, or others control it.
    Unusable(String),
    /// Its file was opened, and some of it cannot be read.
    Unreadable {
        error: io::Error,
        attributes: Attributes,
    },
}

impl OpenEntry {
    /// Opens the entry `name` in its engine's folder, which should be of `key`.
    ///
    /// Costs an `openat`, an `fstat` and a `pread`.
    ///
    /// # Errors
    ///
    /// The outer error is one of the system; the inner one, of this entry alone.
    pub(crate) fn open(
        folder: &Directory,
        name: &str,
        key: &EntryKey,
        policy: &Policy,
    ) -> io::Result<Result<Self, Refusal>> {
        let seen = clock::now();
        let (file, attributes) = match open_file(folder, name, policy.owner_check)? {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let is_small = attributes.size <= SMALL;
        let len = if is_small { SMALL } else { FOOTER_LEN as u64 };
        let tail = match read_tail(&file, attributes.size, len) {
            Ok(tail) => tail,
            Err(error) => return Ok(Err(Refusal::Unreadable { error, attributes })),
        };
        let checked = Footer::parse(&tail)
            .and_then(|footer| footer.check(key, attributes.size).map(|()| footer))
            .and_then(|footer| {
                let signer = footer.key_id();
                policy.trust_in(signer).check_key(signer)?;
                Ok(footer)
            });
        Ok(match checked {
            Ok(footer) => Ok(Self {
                file,
                attributes,
                seen,
                footer,
                read: is_small.then_some(tail),
            }),
            Err(reason) => Err(Refusal::Invalid { reason, attributes }),
        })
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.attributes.size
    }

    /// The key that it says it was signed with.
    pub(crate) fn key_id(&self) -> Option<KeyId> {
        self.footer.key_id()
    }

    /// Whether it takes long to read, and much memory.
    pub(crate) fn is_large(&self) -> bool {
        self.len() >= LARGE
    }

    /// The file as it was seen, in a session.
    pub(crate) fn sight(&self, session: Option<u64>) -> Sight {
        Sight {
            session,
            attributes: self.attributes,
            seen: self.seen,
        }
    }

    /// Verifies who signed it.
    pub(crate) fn check_signature(&self, policy: &Policy) -> Result<(), Refusal> {
        let Self { attributes, .. } = *self;
        let checked = policy.trust_in(self.key_id()).check(&self.footer);
        checked.map_err(|reason| Refusal::Invalid { reason, attributes })
    }

    /// Reads the file and compares its seal: one pass over the data. It is not mapped for that, as a part that cannot be
    /// read would kill the process.
    pub(crate) fn verify(&self, trust: &Trust) -> Result<(), Refusal> {
        let Self { attributes, .. } = *self;
        let read = |piece: &mut [u8], offset| read_exact_at(&self.file, piece, offset);
        let verified = match &self.read {
            Some(bytes) => Ok(Seal::verify(&self.footer, bytes, trust)),
            None => Seal::verify_read(&self.footer, attributes.size, &read, trust),
        };
        match verified {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(reason)) => Err(Refusal::Invalid { reason, attributes }),
            Err(error) => Err(Refusal::Unreadable { error, attributes }),
        }
    }

    /// Hands out the open file, to be mapped by an engine, or what was read of it.
    ///
    /// # Safety
    ///
    /// The contents are verified, and nobody changes the file while a module loaded from it lives.
    pub(crate) unsafe fn into_verified(self) -> SealedEntry<'static> {
        match self.read {
            // SAFETY: the caller promises what `from_read` asks for; the footer is this file's.
            Some(bytes) => unsafe { SealedEntry::from_read(bytes, self.footer) },
            // SAFETY: as above, for `from_file`.
            None => unsafe { SealedEntry::from_file(self.file, self.footer) },
        }
    }

    /// Reads the entry into memory and verifies that copy, which nobody else can change.
    ///
    /// # Errors
    ///
    /// The outer error is a lack of memory; the inner one, of this entry alone.
    pub(crate) fn into_private_copy(
        mut self,
        policy: &Policy,
    ) -> io::Result<Result<SealedEntry<'static>, Refusal>> {
        let attributes = self.attributes;
        let trust = policy.trust_in(self.key_id());
        if self.is_large() {
            if let Err(refusal) = self.verify(trust) {
                return Ok(Err(refusal));
            }
        }
        let bytes = match self.read.take() {
            Some(bytes) => bytes,
            None => match read_whole(&self.file, &attributes) {
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return Err(error),
                Err(error) => return Ok(Err(Refusal::Unreadable { error, attributes })),
                Ok(bytes) => bytes,
            },
        };
        let opened = SealedEntry::open(bytes, self.footer.key(), trust);
        Ok(opened.map_err(|reason| Refusal::Invalid { reason, attributes }))
    }
}

/// The footer of an entry of which the file is open, and nothing else is known.
pub(crate) fn footer_of(
    file: &File,
    attributes: &Attributes,
) -> io::Result<Result<Footer, InvalidEntry>> {
    let tail = read_tail(file, attributes.size, FOOTER_LEN as u64)?;
    Ok(Footer::parse(&tail))
}

/// Opens what stands in the place of an entry, if it is a file that nobody else controls.
///
/// Costs an `openat` and an `fstat`.
///
/// # Errors
///
/// The outer error is one of the system; the inner one, of this entry alone.
pub(crate) fn open_file(
    directory: &Directory,
    name: &str,
    owner_check: Option<u32>,
) -> io::Result<Result<(File, Attributes), Refusal>> {
    let file = match directory.open_entry(name) {
        Ok(file) => file,
        Err(error) => return refusal_of(error).map(Err),
    };
    let attributes = Directory::attributes_of_file(&file)?;
    if attributes.kind != Kind::File {
        return Ok(Err(Refusal::Unusable("it is not a regular file".into())));
    }
    if let Some(reason) = owner_check.and_then(|user| trust_check::objection(&attributes, user)) {
        return Ok(Err(Refusal::Unusable(reason)));
    }
    Ok(Ok((file, attributes)))
}

/// Reads a file of which the attributes are known, at once. A lack of memory is an error.
pub(crate) fn read_whole(file: &File, attributes: &Attributes) -> io::Result<Vec<u8>> {
    let len = usize::try_from(attributes.size).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}

/// The last bytes of a file, or all where it has no more.
fn read_tail(file: &File, size: u64, most: u64) -> io::Result<Vec<u8>> {
    let len = size.min(most);
    let mut tail = vec![0; usize::try_from(len).map_err(io::Error::other)?];
    read_exact_at(file, &mut tail, size - len)?;
    Ok(tail)
}

/// Tells what concerns one entry (it is missing, a link, a socket, another user's) from what concerns all.
pub(crate) fn refusal_of(error: io::Error) -> io::Result<Refusal> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(Refusal::Missing)
    } else if Directory::is_about_the_name(&error) {
        Ok(Refusal::Unusable(error.to_string()))
    } else {
        Err(error)
    }
}
