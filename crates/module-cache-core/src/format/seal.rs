//! The proof of who made the content of an entry.

use std::io;

use super::footer::{Encoding, Footer};
use super::manifest::{FRAME_LEN, Frame, Manifest};
use crate::{EntryKey, InvalidEntry, Trust, parallel};

/// The manifest and footer of an entry, verified to be made by a writer whose entries are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    footer: Footer,
    manifest: Manifest,
}

impl Seal {
    /// Seals content that consists of these frames, as `trust` says.
    ///
    /// # Errors
    ///
    /// When there is no key to sign with.
    pub(crate) fn new(key: EntryKey, manifest: Manifest, trust: &Trust) -> io::Result<Self> {
        let mut footer = Footer::unsigned(key, &manifest);
        trust.sign(&mut footer)?;
        Ok(Self { footer, manifest })
    }

    /// Verifies a footer and its manifest, which stands in front of it.
    ///
    /// # Errors
    ///
    /// When `trust` does not accept them, or they are damaged.
    pub fn open(footer: Footer, manifest: &[u8], trust: &Trust) -> Result<Self, InvalidEntry> {
        trust.check(&footer)?;
        let manifest = footer.manifest(manifest)?;
        Ok(Self { footer, manifest })
    }

    /// Verifies a whole, uncompressed entry, from which `footer` was parsed.
    ///
    /// # Errors
    ///
    /// When `trust` does not accept it, or it is damaged.
    pub fn verify(footer: &Footer, entry: &[u8], trust: &Trust) -> Result<Self, InvalidEntry> {
        trust.check(footer)?;
        Self::verify_checksums(footer, entry)
    }

    /// The same for an entry of `len` bytes that is not in memory: `read` fills a buffer with the bytes at an offset, and
    /// is called from several threads.
    ///
    /// # Errors
    ///
    /// The outer error is one of `read`; the inner one is as for [`verify`](Self::verify).
    pub fn verify_read(
        footer: &Footer,
        len: u64,
        read: &(dyn Fn(&mut [u8], u64) -> io::Result<()> + Sync),
        trust: &Trust,
    ) -> io::Result<Result<Self, InvalidEntry>> {
        match trust.check(footer) {
            Ok(()) => verify_content(footer, len, read),
            Err(reason) => Ok(Err(reason)),
        }
    }

    /// As [`verify`](Self::verify), for an entry of which the origin is known.
    pub(crate) fn verify_checksums(footer: &Footer, entry: &[u8]) -> Result<Self, InvalidEntry> {
        let read = |piece: &mut [u8], offset| {
            let found = usize::try_from(offset)
                .ok()
                .and_then(|at| entry.get(at..)?.get(..piece.len()));
            piece.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        };
        verify_content(footer, entry.len() as u64, &read).unwrap_or(Err(InvalidEntry::Corrupt(
            "it is shorter than its footer says",
        )))
    }

    /// Of what was found to belong together.
    pub(crate) fn of_parts(footer: Footer, manifest: Manifest) -> Self {
        Self { footer, manifest }
    }

    /// The seal to store with the same content under `trust`: this one, or a signed one where nobody has signed it.
    ///
    /// # Errors
    ///
    /// When it is signed with a key that is not accepted, so that nobody else's name covers it, or there is no key to sign
    /// with.
    pub(crate) fn under(self, trust: &Trust) -> io::Result<Self> {
        match trust.check(&self.footer) {
            Ok(()) => Ok(self),
            // How it may have been transported was not seen.
            Err(InvalidEntry::Unsigned) => {
                let frames = self.frames().iter().map(|frame| frame.uncompressed());
                Self::new(*self.footer.key(), Manifest::new(frames.collect()), trust)
            }
            Err(reason) => Err(io::Error::new(io::ErrorKind::InvalidInput, reason)),
        }
    }

    /// The footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }

    /// The frames of the content, in order.
    pub fn frames(&self) -> &[Frame] {
        self.manifest.frames()
    }

    /// What stands behind the content.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.manifest.encode();
        bytes.extend(self.footer.encode());
        bytes
    }
}

fn verify_content(
    footer: &Footer,
    len: u64,
    read: &(dyn Fn(&mut [u8], u64) -> io::Result<()> + Sync),
) -> io::Result<Result<Seal, InvalidEntry>> {
    if footer.encoding(len) != Ok(Encoding::Raw) {
        return Ok(Err(InvalidEntry::Corrupt(
            "its length is not what its footer says",
        )));
    }
    let manifest_len = usize::try_from(footer.manifest_len()).map_err(io::Error::other)?;
    let mut manifest = Vec::new();
    manifest.try_reserve_exact(manifest_len)?;
    manifest.resize(manifest_len, 0);
    read(&mut manifest, footer.artifact_len())?;
    let manifest = match footer.manifest(&manifest) {
        Ok(manifest) => manifest,
        Err(reason) => return Ok(Err(reason)),
    };
    let frames = manifest.frames();
    let checked = parallel::map(frames.len(), || {
        let mut buffer = Vec::new();
        move |index: usize| {
            let frame = &frames[index];
            buffer.resize(frame.content_len(), 0);
            read(&mut buffer, (index * FRAME_LEN) as u64)?;
            Ok(frame.check_content(&buffer))
        }
    })?;
    let checked: Result<(), InvalidEntry> = checked.into_iter().collect();
    Ok(checked.map(|()| Seal::of_parts(footer.clone(), manifest)))
}
