//! The proof of who made the content of an entry.

use std::io;

use super::footer::Footer;
use super::manifest::{Frame, Manifest};
use crate::{EntryKey, InvalidEntry, Trust};

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
