//! An entry's file, opened and examined as far as its footer tells.

use std::fs::File;
use std::io;

use memmap2::MmapOptions;
use module_cache_core::{EntryKey, FOOTER_LEN, Footer, InvalidEntry, SealedEntry, Trust};

use crate::directory::{Attributes, Directory, Kind};
use crate::positional::read_exact_at;
use crate::{layout, trust_check};

/// A file that says of itself that it is the entry it should be. Nothing is verified yet.
#[derive(Debug)]
pub(crate) struct OpenEntry {
    file: File,
    attributes: Attributes,
    footer: Footer,
}

/// Why there is no entry to be had. None of these is an error of the cache.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is none.
    Missing,
    /// What is there is not a valid entry of this key.
    Invalid { reason: InvalidEntry, inode: u64 },
    /// What is there cannot be looked at, or others control it.
    Unusable(String),
}

impl OpenEntry {
    /// Opens the entry `name`, which should be of `key`.
    ///
    /// Costs an `openat`, an `fstat` and a `pread`.
    ///
    /// # Errors
    ///
    /// The outer error is one of the system; the folder one, of this entry alone.
    pub(crate) fn open(
        directory: &Directory,
        name: &str,
        key: &EntryKey,
        trust: &Trust,
        owner_check: Option<u32>,
    ) -> io::Result<Result<Self, Refusal>> {
        let (file, attributes) = match open_file(directory, name, owner_check)? {
            Ok(opened) => opened,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let footer = read_footer(&file, attributes.size)?;
        let checked = Footer::parse(&footer)
            .and_then(|footer| footer.check(key, attributes.size).map(|()| footer))
            .and_then(|footer| trust.check(&footer).map(|()| footer));
        Ok(match checked {
            Ok(footer) => Ok(Self {
                file,
                attributes,
                footer,
            }),
            Err(reason) => Err(Refusal::Invalid {
                reason,
                inode: attributes.inode,
            }),
        })
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Maps the file, compares its seal and lets go of the mapping: one pass over the data.
    pub(crate) fn verify(&self, trust: &Trust) -> io::Result<Result<(), Refusal>> {
        let len = usize::try_from(self.attributes.size).map_err(io::Error::other)?;
        // SAFETY: the mapping is read only while it is hashed. Entries are never written after they are
        // published, and nobody but this user can write to this one: the caller checked the owner and the
        // mode, or took responsibility for them. If the contents did change, the hash would not match.
        let mapping = unsafe { MmapOptions::new().len(len).map(&self.file)? };
        Ok(trust
            .verify(&self.footer, &mapping)
            .map_err(|reason| self.invalid(reason)))
    }

    /// Hands out the open file, to be mapped by an engine.
    ///
    /// # Safety
    ///
    /// The contents are verified, and nobody changes the file while a module loaded from it lives.
    pub(crate) unsafe fn into_mappable(self) -> SealedEntry<'static> {
        // SAFETY: the caller promises what `from_file` asks for; the footer is this file's.
        unsafe { SealedEntry::from_file(self.file, self.footer) }
    }

    /// Reads the entry into memory and verifies that copy, which nobody else can change.
    ///
    /// One of more than `max_len` bytes is nobody's: whoever can write here could make us read for ever.
    pub(crate) fn into_private_copy(
        self,
        trust: &Trust,
        max_len: u64,
    ) -> io::Result<Result<SealedEntry<'static>, Refusal>> {
        if self.attributes.size > max_len {
            return Ok(Err(Refusal::Unusable(
                "it is larger than the cache may become".into(),
            )));
        }
        let bytes = read_whole(&self.file, &self.attributes)?;
        let opened = SealedEntry::open(bytes, self.footer.key(), trust);
        Ok(opened.map_err(|reason| self.invalid(reason)))
    }

    fn invalid(&self, reason: InvalidEntry) -> Refusal {
        Refusal::Invalid {
            reason,
            inode: self.attributes.inode,
        }
    }
}

/// The whole key of the entry `name`, of which the name has a part, as the file itself says. Nothing is proven
/// by it.
///
/// # Errors
///
/// As for [`open_file`].
pub(crate) fn key_of(
    directory: &Directory,
    name: &str,
    owner_check: Option<u32>,
) -> io::Result<Result<EntryKey, Refusal>> {
    let (file, attributes) = match open_file(directory, name, owner_check)? {
        Ok(opened) => opened,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let footer = read_footer(&file, attributes.size)?;
    let key = Footer::parse(&footer).and_then(|footer| {
        if layout::entry(footer.key()) == name {
            Ok(*footer.key())
        } else {
            Err(InvalidEntry::KeyMismatch(Box::new(*footer.key())))
        }
    });
    Ok(key.map_err(|reason| Refusal::Invalid {
        reason,
        inode: attributes.inode,
    }))
}

/// Opens what stands in the place of an entry, if it is a file that nobody else controls.
///
/// Costs an `openat` and an `fstat`.
///
/// # Errors
///
/// The outer error is one of the system; the folder one, of this entry alone.
pub(crate) fn open_file(
    directory: &Directory,
    name: &str,
    owner_check: Option<u32>,
) -> io::Result<Result<(File, Attributes), Refusal>> {
    let file = match directory.open_file(name) {
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

/// The last bytes of the file: a footer, or too few for one.
fn read_footer(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let len = size.min(FOOTER_LEN as u64);
    let mut footer = vec![0; usize::try_from(len).unwrap_or(FOOTER_LEN)];
    read_exact_at(file, &mut footer, size - len)?;
    Ok(footer)
}

/// Tells what concerns one entry (it is missing, a link, a socket, another user's) from what concerns all.
fn refusal_of(error: io::Error) -> io::Result<Refusal> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(Refusal::Missing)
    } else if Directory::is_about_the_name(&error) {
        Ok(Refusal::Unusable(error.to_string()))
    } else {
        Err(error)
    }
}
