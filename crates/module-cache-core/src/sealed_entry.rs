//! An entry whose origin is established, and its way into and out of bytes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read, Seek, Write};

use crate::artifact_digest;
use crate::trust::SealMode;
use crate::{Artifact, EntryKey, FOOTER_LEN, Footer, InvalidEntry, Trust, parallel_hash};

/// One module as compiled by one kind of engine, proven to be that.
///
/// **Invariant**: the artifact was made by [`serialize`](crate::ArtifactEngine::serialize) on an engine
/// with the id in [`key`](Self::key), and is unchanged. The safe way to get one is [`open`](Self::open),
/// which verifies; the other constructors are `unsafe` and ask for that promise.
///
/// In a storage it is the artifact, then a [`Footer`]: see `docs/format.md`.
#[derive(Debug)]
pub struct SealedEntry<'a> {
    key: EntryKey,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Bytes(Cow<'a, [u8]>),
    /// The artifact as it was read from a file that was verified earlier.
    Read {
        artifact: Vec<u8>,
        footer: Footer,
    },
    File {
        file: File,
        footer: Footer,
    },
}

impl<'a> SealedEntry<'a> {
    /// An entry of what an engine just serialized.
    ///
    /// # Safety
    ///
    /// `artifact` was made by [`serialize`](crate::ArtifactEngine::serialize) on an engine whose id is
    /// `key.engine()`, and is unchanged.
    pub unsafe fn from_artifact(key: EntryKey, artifact: impl Into<Cow<'a, [u8]>>) -> Self {
        Self {
            key,
            content: Content::Bytes(artifact.into()),
        }
    }

    /// An entry in an open file, to be loaded from there without reading it in.
    ///
    /// # Safety
    ///
    /// The file ends in `footer`, and its contents were verified against it under a [`Trust`] of the
    /// storage. While the entry, or a module loaded from it, lives, nobody changes or truncates the file.
    ///
    /// # Panics
    ///
    /// If the footer is signed. Whoever demands a signature does not trust those who can write the file,
    /// so a signed entry is read into memory and verified there, with [`open`](Self::open).
    pub unsafe fn from_file(file: File, footer: Footer) -> Self {
        assert!(
            footer.key_id().is_none(),
            "a signed entry must be verified in memory"
        );
        Self {
            key: *footer.key(),
            content: Content::File { file, footer },
        }
    }

    /// An entry that was read from a file, artifact and footer, of which the contents need not be hashed again to be
    /// loaded.
    ///
    /// # Safety
    ///
    /// `bytes` end in `footer`, and the file's contents were verified against it under a [`Trust`] of the storage.
    /// Nobody changed the file since.
    ///
    /// # Panics
    ///
    /// As for [`from_file`](Self::from_file).
    pub unsafe fn from_read(mut bytes: Vec<u8>, footer: Footer) -> Self {
        assert!(
            footer.key_id().is_none(),
            "a signed entry must be verified in memory"
        );
        bytes.truncate(bytes.len() - FOOTER_LEN);
        Self {
            key: *footer.key(),
            content: Content::Read {
                artifact: bytes,
                footer,
            },
        }
    }

    /// Verifies the stored form of an entry, artifact and footer, and takes it.
    ///
    /// # Errors
    ///
    /// When it is not a whole, uncompressed entry of `key` that `trust` accepts.
    pub fn open(mut bytes: Vec<u8>, key: &EntryKey, trust: &Trust) -> Result<Self, InvalidEntry> {
        let footer = Footer::parse(&bytes)?;
        footer.check(key, bytes.len() as u64)?;
        trust.verify(&footer, &bytes)?;
        bytes.truncate(bytes.len() - FOOTER_LEN);
        Ok(Self {
            key: *footer.key(),
            content: Content::Bytes(bytes.into()),
        })
    }

    /// Verifies the stored form of an entry, compressed or not, and takes it.
    ///
    /// `decompress` is given Zstandard frames and the length of the artifact in them, and is called only
    /// when the seal has vouched for both. What it returns is compared with a digest of the artifact that
    /// stands under the same seal, so it need not be trusted.
    ///
    /// # Errors
    ///
    /// When it is not a whole entry of `key` that `trust` accepts, or `decompress` fails or returns
    /// anything but the artifact.
    pub fn open_compressed(
        bytes: Vec<u8>,
        key: &EntryKey,
        trust: &Trust,
        decompress: impl FnOnce(&[u8], u64) -> io::Result<Vec<u8>>,
    ) -> Result<Self, InvalidEntry> {
        let footer = Footer::parse(&bytes)?;
        if !footer.is_compressed() {
            return Self::open(bytes, key, trust);
        }
        footer.check_stored(key, bytes.len() as u64)?;
        trust.verify(&footer, &bytes)?;
        let stored = &bytes[..bytes.len() - FOOTER_LEN];
        let (frames, digest) = artifact_digest::split(stored)?;
        let artifact = decompress(frames, footer.artifact_len())
            .map_err(|_| InvalidEntry::Corrupt("it cannot be decompressed"))?;
        if artifact.len() as u64 != footer.artifact_len()
            || artifact_digest::of(&artifact) != digest
        {
            return Err(InvalidEntry::Corrupt(
                "what it decompresses to is not the artifact it was made of",
            ));
        }
        Ok(Self {
            key: *footer.key(),
            content: Content::Bytes(artifact.into()),
        })
    }

    /// A copy of the entry in memory, for a storage that writes it later.
    ///
    /// # Errors
    ///
    /// When the entry lies in a file that cannot be read or is found changed since it was verified, or
    /// there is not enough memory.
    pub fn to_memory(&self) -> io::Result<SealedEntry<'static>> {
        let artifact = match &self.content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::Read { artifact, footer } => proven(artifact, footer)?.to_vec(),
            Content::File { file, footer } => {
                let mut bytes = Vec::new();
                let len = usize::try_from(footer.artifact_len()).map_err(io::Error::other)?;
                bytes.try_reserve_exact(len)?;
                copy_verified(file, footer, &SealMode::checksum(), footer, &mut bytes)?;
                bytes
            }
        };
        Ok(SealedEntry {
            key: self.key,
            content: Content::Bytes(artifact.into()),
        })
    }

    /// The stored form with a compressed artifact, sealed as `trust` says. `compress` returns Zstandard
    /// frames that hold exactly the bytes that it is given.
    ///
    /// # Errors
    ///
    /// When `compress` fails, or as for [`to_memory`](Self::to_memory).
    pub fn to_compressed(
        &self,
        trust: &Trust,
        compress: impl FnOnce(&[u8]) -> io::Result<Vec<u8>>,
    ) -> io::Result<Vec<u8>> {
        let copy;
        let artifact = match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::Read { artifact, footer } => proven(artifact, footer)?,
            Content::File { .. } => {
                copy = self.to_memory()?;
                let Content::Bytes(bytes) = &copy.content else {
                    unreachable!("the copy is in memory")
                };
                bytes
            }
        };
        let mut stored = compress(artifact)?;
        stored.extend(artifact_digest::frame(&artifact_digest::of(artifact)));

        let (mode, key_id) = trust.sealing();
        let mut footer = Footer::unsealed(self.key, artifact.len() as u64, key_id)
            .compressed_into(stored.len() as u64);
        footer.seal =
            parallel_hash::hash_slices(&mode.as_mode(), [&stored, &footer.sealed_fields()]);
        stored.extend(footer.encode());
        Ok(stored)
    }

    /// The entry's key.
    pub fn key(&self) -> &EntryKey {
        &self.key
    }

    /// Length of the stored form in bytes: the artifact and the footer.
    #[expect(clippy::len_without_is_empty, reason = "there is a footer at least")]
    pub fn len(&self) -> u64 {
        let artifact_len = match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Read { footer, .. } | Content::File { footer, .. } => footer.artifact_len(),
        };
        artifact_len + FOOTER_LEN as u64
    }

    /// The artifact, for an engine.
    pub fn into_artifact(self) -> Artifact {
        match self.content {
            Content::Bytes(bytes) => Artifact::Bytes(bytes.into_owned()),
            Content::Read { artifact, .. } => Artifact::Bytes(artifact),
            Content::File { file, footer } => Artifact::File {
                file,
                len: footer.artifact_len(),
            },
        }
    }

    /// Writes the stored form, sealed as `trust` says, in one pass over the artifact: it is hashed while it is
    /// written.
    ///
    /// The same artifact under the same trust gives the same bytes, always.
    ///
    /// # Errors
    ///
    /// When `out` fails, or the entry lies in a file that is found changed since it was verified
    /// ([`io::ErrorKind::InvalidData`]); what was written is then no valid entry.
    pub fn write_to(&self, trust: &Trust, out: &mut dyn Write) -> io::Result<()> {
        let (mode, key_id) = trust.sealing();
        let mut footer = Footer::unsealed(self.key, self.len() - FOOTER_LEN as u64, key_id);
        let artifact = match &self.content {
            Content::Bytes(bytes) => bytes,
            Content::Read { artifact, footer } => proven(artifact, footer)?,
            Content::File {
                file,
                footer: found,
            } => {
                footer.seal = copy_verified(file, found, &mode, &footer, out)?;
                return out.write_all(&footer.encode());
            }
        };
        let (seal, written) = parallel_hash::hash_slices_beside(
            &mode.as_mode(),
            [artifact, &footer.sealed_fields()],
            || out.write_all(artifact),
        );
        written?;
        footer.seal = seal;
        out.write_all(&footer.encode())
    }
}

fn changed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the entry changed since it was verified",
    )
}

/// An artifact that is about to be copied: damaged bytes must not get a fresh, valid seal.
fn proven<'a>(artifact: &'a [u8], footer: &Footer) -> io::Result<&'a [u8]> {
    let mode = SealMode::checksum();
    let hash = parallel_hash::hash_slices(&mode.as_mode(), [artifact, &footer.sealed_fields()]);
    if hash == footer.seal {
        Ok(artifact)
    } else {
        Err(changed())
    }
}

/// Copies the artifact of an entry and returns the seal for `footer`. The checksum that the entry has must
/// still match: a copy must not give damaged bytes a fresh, valid seal.
fn copy_verified(
    mut file: &File,
    found: &Footer,
    mode: &SealMode,
    footer: &Footer,
    out: &mut dyn Write,
) -> io::Result<[u8; 32]> {
    let mut checksum = SealMode::checksum().hasher();
    let mut seal = matches!(mode, SealMode::Signed(_)).then(|| mode.hasher());
    let mut left = found.artifact_len();
    let mut piece = vec![0; 256 * 1024];
    file.rewind()?;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let count = match file.read(&mut piece[..want]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            return Err(changed());
        }
        checksum.update(&piece[..count]);
        if let Some(seal) = &mut seal {
            seal.update(&piece[..count]);
        }
        out.write_all(&piece[..count])?;
        left -= count as u64;
    }
    checksum.update(&found.sealed_fields());
    let checksum = checksum.finalize();
    if checksum != blake3::Hash::from_bytes(found.seal) {
        return Err(changed());
    }
    let sealed = seal.map_or(checksum, |mut seal| {
        seal.update(&footer.sealed_fields()).finalize()
    });
    Ok(*sealed.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineId, ModuleHash, SigningKey};

    fn key() -> EntryKey {
        EntryKey::new(ModuleHash::of(b"wasm"), EngineId::builder("test").build())
    }

    fn unauthenticated() -> Trust {
        // SAFETY: the entries of these tests are never executed.
        unsafe { Trust::unauthenticated() }
    }

    fn entry(artifact: &[u8]) -> SealedEntry<'_> {
        // SAFETY: the entries of these tests are never executed.
        unsafe { SealedEntry::from_artifact(key(), artifact) }
    }

    fn sealed(artifact: &[u8], trust: &Trust) -> Vec<u8> {
        let mut bytes = Vec::new();
        entry(artifact).write_to(trust, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_stored_form_never_changes() {
        let bytes = sealed(b"machine code", &unauthenticated());
        assert_eq!(bytes.len(), 12 + FOOTER_LEN);
        assert_eq!(&bytes[..12], b"machine code");
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "fc860e01a8bb3b15dbfd91c01ee27e14f9d9241e7921d7479000e786e0f89510"
        );
        let bytes = sealed(
            b"machine code",
            &Trust::signed(SigningKey::from_bytes([9; 32])),
        );
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "90f283b9a2f5f1bdfd7a416b5febbba3966b71fda1905bcb50654772f45c6a2b"
        );
    }

    #[test]
    fn what_was_sealed_opens_with_any_accepted_key() {
        let (old, new) = (
            SigningKey::from_bytes([1; 32]),
            SigningKey::from_bytes([2; 32]),
        );
        let reader = Trust::signed(new.clone()).accepting(old.clone());
        for trust in [Trust::signed(old), Trust::signed(new)] {
            let entry = SealedEntry::open(sealed(b"code", &trust), &key(), &reader).unwrap();
            assert_eq!(entry.into_artifact().into_bytes().unwrap(), b"code");
        }
    }

    #[test]
    fn a_reader_with_a_key_refuses_what_others_wrote() {
        let mine = Trust::signed(SigningKey::from_bytes([1; 32]));
        let theirs = SigningKey::from_bytes([2; 32]);
        let open = |bytes| SealedEntry::open(bytes, &key(), &mine).unwrap_err();
        assert_eq!(
            open(sealed(b"code", &unauthenticated())),
            InvalidEntry::Unsigned
        );
        assert_eq!(
            open(sealed(b"code", &Trust::signed(theirs.clone()))),
            InvalidEntry::UnknownKey(theirs.id())
        );
        // Claiming the accepted key does not help without its secret.
        let mut forged = sealed(b"code", &Trust::signed(theirs));
        let at = forged.len() - 48;
        forged[at..at + 16].copy_from_slice(&SigningKey::from_bytes([1; 32]).id().0);
        assert!(open(forged).is_corrupt());
    }

    #[test]
    fn an_entry_of_another_module_or_engine_is_refused_and_not_corrupt() {
        let bytes = sealed(b"code", &unauthenticated());
        for other in [
            EntryKey::new(ModuleHash::of(b"other"), *key().engine()),
            EntryKey::new(key().hash(), EngineId::builder("other").build()),
        ] {
            let error = SealedEntry::open(bytes.clone(), &other, &unauthenticated()).unwrap_err();
            assert_eq!(error, InvalidEntry::KeyMismatch(Box::new(key())));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let bytes = sealed(&[5; 100], &unauthenticated());
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert!(
                    SealedEntry::open(flipped, &key(), &unauthenticated()).is_err(),
                    "byte {at}"
                );
            }
            assert!(SealedEntry::open(bytes[..at].to_vec(), &key(), &unauthenticated()).is_err());
        }
    }

    /// Stands in for frames: core knows nothing of what is in them.
    #[expect(clippy::unnecessary_wraps, reason = "it is a decompressor")]
    fn reversed(bytes: &[u8]) -> io::Result<Vec<u8>> {
        Ok(bytes.iter().rev().copied().collect())
    }

    fn open_reversed(bytes: Vec<u8>, trust: &Trust) -> Result<SealedEntry<'static>, InvalidEntry> {
        SealedEntry::open_compressed(bytes, &key(), trust, |frames, len| {
            assert_eq!(frames.len() as u64, len);
            reversed(frames)
        })
    }

    #[test]
    fn the_compressed_form_never_changes_and_opens() {
        let trust = Trust::signed(SigningKey::from_bytes([9; 32]));
        let bytes = entry(b"machine code")
            .to_compressed(&trust, reversed)
            .unwrap();
        assert_eq!(
            bytes.len(),
            12 + artifact_digest::FRAME_LEN + FOOTER_LEN,
            "frames, digest, footer"
        );
        assert_eq!(&bytes[..12], b"edoc enihcam");
        assert_eq!(
            blake3::hash(&bytes).to_hex().as_str(),
            "8f0bf5c903b1359bcc188d834331ceb613ba9212a191ae08c670ac96fc37d394"
        );
        let entry = open_reversed(bytes.clone(), &trust).unwrap();
        assert_eq!(entry.len(), 12 + FOOTER_LEN as u64);
        assert_eq!(entry.into_artifact().into_bytes().unwrap(), b"machine code");
        assert_eq!(
            SealedEntry::open(bytes, &key(), &trust).unwrap_err(),
            InvalidEntry::Compressed
        );
        let plain = sealed(b"machine code", &trust);
        assert!(open_reversed(plain, &trust).is_ok(), "either form opens");
    }

    #[test]
    fn nothing_is_decompressed_before_it_is_proven() {
        let [mine, theirs] = [1, 2].map(|byte| Trust::signed(SigningKey::from_bytes([byte; 32])));
        let bytes = entry(&[5; 100]).to_compressed(&mine, reversed).unwrap();
        let refuse = |bytes: Vec<u8>, trust: &Trust| {
            SealedEntry::open_compressed(bytes, &key(), trust, |_, _| {
                unreachable!("unproven bytes reached the decompressor")
            })
            .unwrap_err()
        };
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                refuse(flipped, &mine);
            }
            refuse(bytes[..at].to_vec(), &mine);
        }
        refuse(bytes, &theirs);
    }

    #[test]
    fn a_decompressor_cannot_make_another_artifact_of_an_entry() {
        let trust = unauthenticated();
        let bytes = entry(b"code").to_compressed(&trust, reversed).unwrap();
        for wrong in [&b"cod"[..], b"codes", b"evil", b""] {
            let opened = SealedEntry::open_compressed(bytes.clone(), &key(), &trust, |_, _| {
                Ok(wrong.to_vec())
            });
            assert!(opened.unwrap_err().is_corrupt());
        }
        let opened = SealedEntry::open_compressed(bytes, &key(), &trust, |_, _| {
            Err(io::ErrorKind::InvalidData.into())
        });
        assert!(opened.unwrap_err().is_corrupt());
    }

    #[test]
    fn an_entry_in_a_file_is_copied_as_it_is_and_never_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        let mut bytes = sealed(&vec![8; 600_000], &unauthenticated());
        let copy_of = |entry: SealedEntry<'static>, trust: &Trust| {
            let mut copy = Vec::new();
            let written = entry.write_to(trust, &mut copy).map(|()| copy);
            // What is copied into memory, or compressed, is as good or as bad.
            let memory = entry.to_memory().map(|entry| {
                let mut copy = Vec::new();
                entry.write_to(trust, &mut copy).unwrap();
                copy
            });
            assert_eq!(written.as_ref().ok(), memory.as_ref().ok());
            assert_eq!(
                entry.to_compressed(trust, reversed).is_ok(),
                written.is_ok()
            );
            written
        };
        let copy = |bytes: &[u8], trust: &Trust| {
            std::fs::write(&path, bytes).unwrap();
            let footer = Footer::parse(bytes).unwrap();
            let file = File::open(&path).unwrap();
            // SAFETY: the entries of these tests are never executed.
            let entry = unsafe { SealedEntry::from_file(file, footer.clone()) };
            let of_file = copy_of(entry, trust);
            // SAFETY: as above.
            let entry = unsafe { SealedEntry::from_read(bytes.to_vec(), footer) };
            let of_read = copy_of(entry, trust);
            assert_eq!(of_file.as_ref().ok(), of_read.as_ref().ok());
            of_file
        };
        let signed = Trust::signed(SigningKey::from_bytes([1; 32]));
        assert_eq!(copy(&bytes, &unauthenticated()).unwrap(), bytes);
        assert_eq!(
            copy(&bytes, &signed).unwrap(),
            sealed(&vec![8; 600_000], &signed)
        );
        bytes[300_000] ^= 1;
        for trust in [unauthenticated(), signed] {
            assert_eq!(
                copy(&bytes, &trust).unwrap_err().kind(),
                io::ErrorKind::InvalidData
            );
        }
    }
}
