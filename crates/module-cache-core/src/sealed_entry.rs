//! An entry whose origin is proven, and its conversion from and to bytes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::format::incoming::{self, Decompress, Place};
use crate::format::{Encoding, FOOTER_LEN, FRAME_LEN, Footer, Frame, Incoming, Manifest, Seal};
use crate::module_hash::read_exact_at;
use crate::{Artifact, EntryKey, InvalidEntry, KeyId, Trust, parallel};

/// One module as compiled for one engine id, proven to be that.
///
/// **Invariant**: the artifact was made by [`serialize`](crate::ArtifactEngine::serialize) on an engine with the id in
/// [`key`](Self::key), and is unchanged. Constructors verify that, such as [`open`](Self::open), or are `unsafe` and ask
/// for that promise.
///
/// In a storage it is the artifact, then a manifest of its frames, then a [`Footer`]: see `docs/format.md`. A signature
/// stays with the entry when it is copied to a storage that accepts its key.
#[derive(Debug)]
pub struct SealedEntry<'a> {
    key: EntryKey,
    content: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    /// The artifact, and the seal that it came with.
    Bytes(Cow<'a, [u8]>, Option<Seal>),
    /// The entry as it was read from a file that was verified earlier.
    Read(Vec<u8>, Footer),
    File(File, Footer),
    Incoming(Seal, &'a dyn Incoming),
}

impl<'a> SealedEntry<'a> {
    /// An entry of an artifact that an engine just serialized.
    ///
    /// # Safety
    ///
    /// `artifact` was made by [`serialize`](crate::ArtifactEngine::serialize) on an engine whose id is
    /// `key.engine()`, and is unchanged.
    pub unsafe fn from_artifact(key: EntryKey, artifact: impl Into<Cow<'a, [u8]>>) -> Self {
        let content = Content::Bytes(artifact.into(), None);
        Self { key, content }
    }

    /// An entry in an open file, to be loaded without reading it into memory.
    ///
    /// # Safety
    ///
    /// The file ends in `footer`, and its contents were verified against it under a [`Trust`] of the storage. The file is
    /// not changed or truncated while the entry, or a module loaded from it, lives.
    pub unsafe fn from_file(file: File, footer: Footer) -> Self {
        Self {
            key: *footer.key(),
            content: Content::File(file, footer),
        }
    }

    /// An entry that was read whole from a file, and need not be hashed again.
    ///
    /// # Safety
    ///
    /// `bytes` end in `footer`, and the file's contents were verified against it under a [`Trust`] of the storage. The file
    /// was not changed since.
    pub unsafe fn from_read(bytes: Vec<u8>, footer: Footer) -> Self {
        Self {
            key: *footer.key(),
            content: Content::Read(bytes, footer),
        }
    }

    /// An entry that is arriving from another storage. Its content is verified frame by frame while it is stored here or
    /// read into memory, which can be done once; a frame that the seal does not match is an error.
    pub fn incoming(seal: Seal, content: &'a dyn Incoming) -> Self {
        Self {
            key: *seal.footer().key(),
            content: Content::Incoming(seal, content),
        }
    }

    /// Verifies the stored form of an entry, and takes ownership of it.
    ///
    /// # Errors
    ///
    /// When it is not a whole and uncompressed entry of `key` that `trust` accepts.
    pub fn open(mut bytes: Vec<u8>, key: &EntryKey, trust: &Trust) -> Result<Self, InvalidEntry> {
        let footer = Footer::parse(&bytes)?;
        footer.check(key, bytes.len() as u64)?;
        let seal = Seal::verify(&footer, &bytes, trust)?;
        bytes.truncate(to_index(footer.artifact_len()));
        Ok(Self {
            key: *footer.key(),
            content: Content::Bytes(bytes.into(), Some(seal)),
        })
    }

    /// Verifies an entry in either encoding, and takes ownership of it.
    ///
    /// `decompress` decompresses a Zstandard frame, whose stored form was verified, into a buffer that it fills exactly.
    /// Its output is compared with the manifest, so it need not be trusted.
    ///
    /// # Errors
    ///
    /// When it is not a whole entry of `key` that `trust` accepts.
    pub fn open_transported(
        bytes: Vec<u8>,
        key: &EntryKey,
        trust: &Trust,
        decompress: &Decompress<'_>,
    ) -> Result<Self, InvalidEntry> {
        let footer = Footer::parse(&bytes)?;
        if footer.check_stored(key, bytes.len() as u64)? == Encoding::Raw {
            return Self::open(bytes, key, trust);
        }
        let stored_len = to_index(footer.stored_len());
        let manifest = &bytes[stored_len..bytes.len() - FOOTER_LEN];
        let seal = Seal::open(footer, manifest, trust)?;
        let mut rest = &bytes[..stored_len];
        let pieces: Vec<_> = seal
            .frames()
            .iter()
            .map(|frame| {
                let (stored, after) = rest.split_at(frame.stored_len());
                rest = after;
                stored
            })
            .collect();
        let artifact = in_memory(seal.footer().artifact_len(), |place| {
            let decoded = parallel::map(pieces.len(), || {
                let mut buffer = Vec::new();
                let pieces = &pieces;
                let frames = seal.frames();
                move |index: usize| {
                    let content =
                        incoming::decode(&frames[index], pieces[index], &mut buffer, decompress);
                    match content {
                        Ok(content) => place((index * FRAME_LEN) as u64, content),
                        Err(reason) => Err(invalid(reason)),
                    }
                }
            });
            decoded.map(drop)
        });
        match artifact {
            Ok(artifact) => Ok(Self {
                key: *key,
                content: Content::Bytes(artifact.into(), Some(seal)),
            }),
            Err(error) => Err(error
                .downcast()
                .unwrap_or(InvalidEntry::Corrupt("there is not enough memory for it"))),
        }
    }

    /// The entry's key.
    pub fn key(&self) -> &EntryKey {
        &self.key
    }

    /// Length of the stored form in bytes, uncompressed.
    #[expect(clippy::len_without_is_empty, reason = "there is a footer at least")]
    pub fn len(&self) -> u64 {
        let len = self.artifact_len();
        len + Manifest::len_for(len) + FOOTER_LEN as u64
    }

    fn artifact_len(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes, _) => bytes.len() as u64,
            Content::Read(_, footer) | Content::File(_, footer) => footer.artifact_len(),
            Content::Incoming(seal, _) => seal.footer().artifact_len(),
        }
    }

    /// Whether it is arriving from another storage, which still has it.
    pub fn is_incoming(&self) -> bool {
        matches!(self.content, Content::Incoming(..))
    }

    /// The artifact, for an engine.
    ///
    /// # Errors
    ///
    /// When the entry is [incoming](Self::incoming), and as for [`to_memory`](Self::to_memory) then.
    pub fn into_artifact(self) -> io::Result<Artifact> {
        Ok(match self.content {
            Content::Bytes(bytes, _) => Artifact::Bytes(bytes.into_owned()),
            Content::Read(mut bytes, footer) => {
                bytes.truncate(to_index(footer.artifact_len()));
                Artifact::Bytes(bytes)
            }
            Content::File(file, footer) => Artifact::File {
                file,
                len: footer.artifact_len(),
            },
            Content::Incoming(..) => return self.to_memory()?.into_artifact(),
        })
    }

    /// The entry in memory, for a storage that writes it later.
    ///
    /// # Errors
    ///
    /// When the content cannot be read or has changed since it was verified, or there is not enough memory.
    pub fn to_memory(&self) -> io::Result<SealedEntry<'static>> {
        let (artifact, seal) = if let Content::Bytes(bytes, seal) = &self.content {
            (bytes.to_vec(), seal.clone())
        } else {
            let mut seal = None;
            let artifact = in_memory(self.artifact_len(), |place| {
                seal = Some(self.place_content(usize::MAX, place)?);
                Ok(())
            })?;
            (artifact, seal)
        };
        Ok(SealedEntry {
            key: self.key,
            content: Content::Bytes(artifact.into(), seal),
        })
    }

    /// The entry for a storage that writes it later: still in its file if it has one, or else in memory.
    ///
    /// # Errors
    ///
    /// As for [`to_memory`](Self::to_memory), and when there is no descriptor for the file.
    pub fn to_static(&self) -> io::Result<SealedEntry<'static>> {
        match &self.content {
            Content::File(file, footer) => Ok(SealedEntry {
                key: self.key,
                content: Content::File(file.try_clone()?, footer.clone()),
            }),
            _ => self.to_memory(),
        }
    }

    /// Writes the stored form, uncompressed, from front to back.
    ///
    /// The entry keeps its signature. An entry without one is signed as `trust` says; the same artifact under the same
    /// trust gives the same bytes.
    ///
    /// # Errors
    ///
    /// When `out` fails; when the entry is signed with a key that `trust` does not accept
    /// ([`io::ErrorKind::InvalidInput`]); when there is no key to sign it with ([`io::ErrorKind::PermissionDenied`]); when
    /// the content has changed since it was verified ([`io::ErrorKind::InvalidData`]). What was written is then not a valid
    /// entry.
    pub fn write_to(&self, trust: &Trust, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let out = Mutex::new(out);
        let write = |bytes: &[u8]| {
            let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
            out.write_all(bytes)
        };
        let seal = self.place_content(1, &|_, bytes| write(bytes))?;
        write(&seal.under(trust)?.encode())
    }

    /// Writes the stored form, uncompressed, on all cores and in any order. `place` is called with bytes and their offset;
    /// each byte is hashed once, when it is written.
    ///
    /// # Errors
    ///
    /// As for [`write_to`](Self::write_to).
    pub fn write_at(
        &self,
        trust: &Trust,
        place: &(dyn Fn(u64, &[u8]) -> io::Result<()> + Sync),
    ) -> io::Result<()> {
        let seal = self.place_content(usize::MAX, place)?;
        place(self.artifact_len(), &seal.under(trust)?.encode())
    }

    /// The stored form in its transport encoding. `compress` compresses bytes to a Zstandard frame.
    ///
    /// The entry keeps its signature. Its frames are compressed if the result is what was signed, or if `trust` can sign it
    /// again with the same key.
    ///
    /// # Errors
    ///
    /// When `compress` fails, or the frames cannot be compressed to what they were ([`io::ErrorKind::InvalidInput`]), and as
    /// for [`write_to`](Self::write_to).
    pub fn to_transport(
        &self,
        trust: &Trust,
        compress: &(dyn Fn(&[u8]) -> io::Result<Vec<u8>> + Sync),
    ) -> io::Result<Vec<u8>> {
        if self.is_incoming() {
            // It comes only once.
            return self.to_memory()?.to_transport(trust, compress);
        }
        let stored = Mutex::new((Vec::new(), Vec::new()));
        let found = self.place_content(1, &|_, content| {
            let mut stored = stored.lock().unwrap_or_else(PoisonError::into_inner);
            let (bytes, frames) = &mut *stored;
            for piece in content.chunks(FRAME_LEN) {
                let compressed = compress(piece)?;
                let frame = Frame::raw(piece);
                // A frame without bytes is none that a reader takes.
                let (piece, frame) = if (1..piece.len()).contains(&compressed.len()) {
                    (&compressed[..], frame.compressed_into(&compressed))
                } else {
                    (piece, frame)
                };
                bytes.try_reserve(piece.len())?;
                bytes.extend(piece);
                frames.push(frame);
            }
            Ok(())
        })?;
        let (mut bytes, frames) = stored.into_inner().unwrap_or_else(PoisonError::into_inner);
        let found = found.under(trust)?;
        if found.frames() == frames {
            bytes.extend(found.encode());
            return Ok(bytes);
        }
        // Only what nobody else has signed is signed anew.
        let signer = found.footer().key_id();
        if signer.is_none() || (trust.signer() == signer && trust.can_write()) {
            bytes.extend(Seal::new(self.key, Manifest::new(frames), trust)?.encode());
            return Ok(bytes);
        }
        if found.frames().iter().any(|frame| !frame.is_raw()) {
            let text = "its frames cannot be compressed to what its signer vouches for";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // It was signed as it is.
        let mut bytes = Vec::new();
        let bytes_of = Mutex::new(&mut bytes);
        self.place_content(1, &|_, content| {
            let mut bytes = bytes_of.lock().unwrap_or_else(PoisonError::into_inner);
            bytes.try_reserve(content.len())?;
            bytes.extend(content);
            Ok(())
        })?;
        bytes.extend(found.encode());
        Ok(bytes)
    }

    /// Whether a storage under this trust can store the entry: its key is accepted there, or it is not signed and can be
    /// signed there.
    ///
    /// # Errors
    ///
    /// As for [`write_to`](Self::write_to), of signatures.
    pub fn check_under(&self, trust: &Trust) -> io::Result<()> {
        let footer = match &self.content {
            Content::Bytes(_, None) => None,
            Content::Bytes(_, Some(seal)) | Content::Incoming(seal, _) => Some(seal.footer()),
            Content::Read(_, footer) | Content::File(_, footer) => Some(footer),
        };
        match footer.map(|footer| trust.check(footer)) {
            Some(Err(reason)) if reason != InvalidEntry::Unsigned => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
            }
            Some(Ok(())) => Ok(()),
            _ if trust.can_write() => Ok(()),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }

    /// The key that it is signed with, if any.
    pub fn key_id(&self) -> Option<KeyId> {
        match &self.content {
            Content::Bytes(_, seal) => seal.as_ref()?.footer().key_id(),
            Content::Incoming(seal, _) => seal.footer().key_id(),
            Content::Read(_, footer) | Content::File(_, footer) => footer.key_id(),
        }
    }

    /// Hands all content to `place`, proven to be what it was, and returns the seal that it has: a checksum, if it has
    /// come with none.
    fn place_content(&self, threads: usize, place: &Place<'_>) -> io::Result<Seal> {
        let at = |index: usize| (index * FRAME_LEN) as u64;
        match &self.content {
            Content::Bytes(bytes, Some(seal)) => {
                place(0, bytes)?;
                Ok(seal.clone())
            }
            Content::Bytes(bytes, None) => {
                let manifest = if threads == 1 {
                    place(0, bytes)?;
                    Manifest::of(bytes, &|_, _| Ok(()))?
                } else {
                    Manifest::of(bytes, &|index, piece| place(at(index), piece))?
                };
                // SAFETY: it is asked for a checksum, and nothing is believed for it.
                Seal::new(self.key, manifest, &unsafe { Trust::unauthenticated() })
            }
            Content::Read(bytes, footer) => {
                let seal = Seal::verify_checksums(footer, bytes).map_err(|_| changed())?;
                place(0, &bytes[..to_index(footer.artifact_len())])?;
                Ok(seal)
            }
            Content::File(file, footer) => copy(file, footer, threads, place),
            Content::Incoming(seal, content) => {
                incoming::receive(seal, *content, threads, place)?;
                Ok(seal.clone())
            }
        }
    }
}

/// Hands on the content of an entry in a file. It must still be what it was when it was verified: a copy must not give
/// damaged bytes a fresh, valid seal.
fn copy(file: &File, footer: &Footer, threads: usize, place: &Place<'_>) -> io::Result<Seal> {
    let mut manifest = vec![0; to_index(footer.manifest_len())];
    read_exact_at(file, &mut manifest, footer.artifact_len())?;
    let manifest = footer.manifest(&manifest).map_err(|_| changed())?;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let frames = manifest.frames();
    parallel::on_all_cores(threads.min(frames.len()), &|| {
        let mut buffer = vec![0; FRAME_LEN];
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let Some(frame) = frames.get(index) else {
                return Ok(());
            };
            let content = &mut buffer[..frame.content_len()];
            let offset = (index * FRAME_LEN) as u64;
            read_exact_at(file, content, offset)?;
            frame.check_content(content).map_err(|_| changed())?;
            place(offset, content)?;
        }
    })?;
    Ok(Seal::of_parts(footer.clone(), manifest))
}

/// Takes so many bytes of memory and has them filled, from any thread.
fn in_memory(len: u64, fill: impl FnOnce(&Place<'_>) -> io::Result<()>) -> io::Result<Vec<u8>> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    let frames: Vec<_> = bytes.chunks_mut(FRAME_LEN).map(Mutex::new).collect();
    fill(&|offset, mut content| {
        let first = to_index(offset) / FRAME_LEN;
        for frame in &frames[first..] {
            let mut frame = frame.lock().unwrap_or_else(PoisonError::into_inner);
            let (piece, rest) = content.split_at(content.len().min(frame.len()));
            frame[..piece.len()].copy_from_slice(piece);
            content = rest;
            if content.is_empty() {
                break;
            }
        }
        Ok(())
    })?;
    drop(frames);
    Ok(bytes)
}

fn changed() -> io::Error {
    invalid(InvalidEntry::Corrupt("it changed since it was verified"))
}

fn invalid(reason: InvalidEntry) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Of lengths of what is, or will be, in memory.
fn to_index(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EngineId, ModuleHash, SharedKey};
    use std::collections::VecDeque;

    fn key() -> EntryKey {
        EntryKey::new(ModuleHash::of(b"wasm"), EngineId::builder("test").build())
    }

    fn unauthenticated() -> Trust {
        // SAFETY: the entries of these tests are never executed.
        unsafe { Trust::unauthenticated() }
    }

    fn shared(secret: u8) -> Trust {
        Trust::shared(SharedKey::from_bytes([secret; 32]))
    }

    #[cfg(feature = "ed25519")]
    fn pair(secret: u8) -> Trust {
        Trust::signed(crate::SigningKey::from_bytes([secret; 32]))
    }

    /// One of each kind that signs.
    fn signing(secret: u8) -> Vec<Trust> {
        Vec::from([
            shared(secret),
            #[cfg(feature = "ed25519")]
            pair(secret),
        ])
    }

    fn trusts() -> Vec<Trust> {
        [vec![unauthenticated()], signing(1)].concat()
    }

    fn entry(artifact: &[u8]) -> SealedEntry<'_> {
        // SAFETY: the entries of these tests are never executed.
        unsafe { SealedEntry::from_artifact(key(), artifact) }
    }

    fn written(entry: &SealedEntry<'_>, trust: &Trust) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        entry.write_to(trust, &mut bytes).map(|()| bytes)
    }

    fn placed(entry: &SealedEntry<'_>, trust: &Trust) -> io::Result<Vec<u8>> {
        let bytes = Mutex::new(vec![0; to_index(entry.len())]);
        let place = |offset, piece: &[u8]| {
            let offset = to_index(offset);
            bytes.lock().unwrap()[offset..offset + piece.len()].copy_from_slice(piece);
            Ok(())
        };
        entry.write_at(trust, &place)?;
        Ok(bytes.into_inner().unwrap())
    }

    /// The entry as it is copied in each way that there is; they are the same if its frames are not compressed.
    fn copies(entry: &SealedEntry<'_>, trust: &Trust) -> [io::Result<Vec<u8>>; 4] {
        [
            written(entry, trust),
            placed(entry, trust),
            entry.to_memory().and_then(|entry| written(&entry, trust)),
            entry.to_transport(trust, &keep),
        ]
    }

    fn assert_denied(entry: &SealedEntry<'_>, trust: &Trust) {
        for copy in copies(entry, trust) {
            let kind = copy.unwrap_err().kind();
            let unsigned = io::ErrorKind::PermissionDenied;
            assert!(matches!(kind, io::ErrorKind::InvalidInput) || kind == unsigned);
        }
    }

    fn assert_copied(entry: &SealedEntry<'_>, trust: &Trust, expected: &[u8]) {
        for copy in copies(entry, trust) {
            assert!(copy.unwrap() == expected);
        }
    }

    fn sealed(artifact: &[u8], trust: &Trust) -> Vec<u8> {
        written(&entry(artifact), trust).unwrap()
    }

    fn transported(artifact: &[u8], trust: &Trust) -> Vec<u8> {
        entry(artifact).to_transport(trust, &halve).unwrap()
    }

    /// Stands in for a compressor, as core knows nothing of what a frame is: makes half of bytes that come in equal pairs.
    #[expect(clippy::unnecessary_wraps, reason = "it is a compressor")]
    fn halve(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let (pairs, rest) = bytes.as_chunks::<2>();
        if rest.is_empty() && pairs.iter().all(|[one, other]| one == other) {
            Ok(pairs.iter().map(|pair| pair[0]).collect())
        } else {
            Ok(bytes.to_vec())
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is a compressor")]
    fn keep(bytes: &[u8]) -> io::Result<Vec<u8>> {
        Ok(bytes.to_vec())
    }

    fn double(stored: &[u8], content: &mut [u8]) -> io::Result<()> {
        if stored.len() * 2 != content.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        for (pair, byte) in content.chunks_mut(2).zip(stored) {
            pair.fill(*byte);
        }
        Ok(())
    }

    fn open(bytes: &[u8], trust: &Trust) -> Result<SealedEntry<'static>, InvalidEntry> {
        SealedEntry::open(bytes.to_vec(), &key(), trust)
    }

    fn open_either(bytes: &[u8], trust: &Trust) -> Result<SealedEntry<'static>, InvalidEntry> {
        SealedEntry::open_transported(bytes.to_vec(), &key(), trust, &double)
    }

    fn artifact_of(entry: SealedEntry<'_>) -> Vec<u8> {
        entry.into_artifact().unwrap().into_bytes().unwrap()
    }

    /// What a forger does who knows how the checksum of a footer is made.
    fn repair(entry: &mut [u8]) {
        let footer = entry.len() - FOOTER_LEN;
        let (fields, checksum) = entry[footer..].split_at_mut(FOOTER_LEN - 32);
        checksum.copy_from_slice(&blake3::derive_key("module-cache 2026 footer v1", fields));
    }

    /// Two frames that can be compressed, and a short one that cannot.
    fn several(seed: usize) -> Vec<u8> {
        let content = |at: usize| (at / 2 * 7 + at / FRAME_LEN * 50 + seed).to_le_bytes()[0];
        (0..2 * FRAME_LEN + 5).map(content).collect()
    }

    /// The pieces of an entry with that content: its frames, and what stands behind them.
    fn pieces(bytes: &[u8], frame_len: usize) -> [Vec<u8>; 4] {
        let (first, rest) = bytes.split_at(frame_len);
        let (second, rest) = rest.split_at(frame_len);
        let (third, seal) = rest.split_at(5);
        [first, second, third, seal].map(<[u8]>::to_vec)
    }

    #[test]
    fn the_stored_forms_never_change() {
        let artifact = b"mmaacchhiinnee  ccooddee";
        let check = |trust: &Trust, raw: &str, transport: &str| {
            let bytes = sealed(artifact, trust);
            assert_eq!(bytes.len(), 24 + 72 + FOOTER_LEN);
            assert_eq!(&bytes[..24], artifact);
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), raw);

            let bytes = transported(artifact, trust);
            assert_eq!(bytes.len(), 12 + 72 + FOOTER_LEN);
            assert_eq!(&bytes[..12], b"machine code");
            assert_eq!(blake3::hash(&bytes).to_hex().as_str(), transport);
        };
        check(
            &unauthenticated(),
            "97ee282082f81252b4af92439d6f04c29bbd66ad85070880e84d4dd470fc3713",
            "1357204e8e20eb6a66b34e88f9b63d47f6a2af9547ee9b1b65898c57edd63786",
        );
        check(
            &shared(9),
            "7052078042e461f28e3cc6287bbcc604eaa6070ea510696f5e88c4a140967064",
            "2115d528a664f28944bcbf267349066ccf5f4bd30302bb6222cde1769720623a",
        );
        #[cfg(feature = "ed25519")]
        check(
            &pair(9),
            "d4c6a0e360988811b9784502e7cc5fbd49a079939694425d69676f507c86aa11",
            "64f69b75ed4db225d51934e99f25f9ee9201f628dab54af97a4541e5685732e0",
        );
    }

    #[test]
    fn either_form_opens_and_only_one_is_used_in_place() {
        for trust in trusts() {
            for artifact in [
                b"".to_vec(),
                b"ccooddee".to_vec(),
                b"odd".to_vec(),
                several(0),
            ] {
                let raw = sealed(&artifact, &trust);
                let opened = open(&raw, &trust).unwrap();
                assert_eq!(opened.len(), raw.len() as u64);
                assert_eq!(artifact_of(opened), artifact);
                assert_eq!(artifact_of(open_either(&raw, &trust).unwrap()), artifact);

                let transport = transported(&artifact, &trust);
                assert_eq!(
                    artifact_of(open_either(&transport, &trust).unwrap()),
                    artifact
                );
                let in_place = open(&transport, &trust).map(artifact_of);
                let shrinks = transport.len() < raw.len();
                assert!(
                    in_place
                        == if shrinks {
                            Err(InvalidEntry::Compressed)
                        } else {
                            Ok(artifact.clone())
                        }
                );
                assert_eq!(placed(&entry(&artifact), &trust).unwrap(), raw);
            }
        }
    }

    #[test]
    fn a_frame_that_was_compressed_to_nothing_is_kept_as_it_is() {
        let bytes = entry(b"code").to_transport(&unauthenticated(), &|_| Ok(Vec::new()));
        assert_eq!(bytes.unwrap(), sealed(b"code", &unauthenticated()));
    }

    #[test]
    fn what_was_sealed_opens_with_any_accepted_key() {
        let [old, new] = [1, 2].map(|secret| SharedKey::from_bytes([secret; 32]));
        let reader = Trust::shared(new).accepting(old);
        #[cfg(feature = "ed25519")]
        let reader = reader.accepting(crate::SigningKey::from_bytes([1; 32]).verifying_key());
        for trust in [signing(1), vec![shared(2)]].concat() {
            assert!(open(&sealed(b"code", &trust), &reader).is_ok());
            assert!(open_either(&transported(b"ccooddee", &trust), &reader).is_ok());
        }
        let mut misnamed = sealed(b"code", &shared(1));
        let at = misnamed.len() - FOOTER_LEN + 176;
        misnamed[at..at + 16].copy_from_slice(&SharedKey::from_bytes([2; 32]).id().0);
        repair(&mut misnamed);
        assert!(open(&misnamed, &reader).unwrap_err().is_corrupt());
    }

    #[test]
    fn a_reader_with_a_key_refuses_what_others_wrote() {
        for (mine, theirs) in signing(1).iter().zip(signing(2)) {
            let error = open(&sealed(b"code", &unauthenticated()), mine).unwrap_err();
            assert_eq!(error, InvalidEntry::Unsigned);
            let mut forged = sealed(b"code", &theirs);
            let error = open(&forged, mine).unwrap_err();
            let id = theirs.key_ids().next().unwrap();
            assert_eq!(error, InvalidEntry::UnknownKey(id));
            // Claiming the accepted key does not help without its secret.
            let at = forged.len() - FOOTER_LEN + 176;
            forged[at..at + 16].copy_from_slice(&mine.key_ids().next().unwrap().0);
            repair(&mut forged);
            let error = open(&forged, mine).unwrap_err();
            assert_eq!(error, InvalidEntry::Corrupt("its signature does not match"));
            // Nor does a signature of something else.
            let mut forged = sealed(b"evil", mine);
            let genuine = sealed(b"code", mine);
            forged[at..].copy_from_slice(&genuine[at..]);
            repair(&mut forged);
            let error = open(&forged, mine).unwrap_err();
            assert_eq!(error, InvalidEntry::Corrupt("its signature does not match"));
        }
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
    fn every_flipped_bit_and_every_truncation_is_refused_and_not_decompressed() {
        for trust in trusts() {
            let refuse = |bytes: Vec<u8>| {
                let opened = SealedEntry::open_transported(bytes, &key(), &trust, &|_, _| {
                    unreachable!("unproven bytes reached the decompressor")
                });
                opened.unwrap_err()
            };
            for bytes in [
                sealed(b"ccooddee", &trust),
                transported(b"ccooddee", &trust),
            ] {
                for bit in 0..bytes.len() * 8 {
                    let mut flipped = bytes.clone();
                    flipped[bit / 8] ^= 1 << (bit % 8);
                    refuse(flipped.clone());
                    // Without a key, anybody can sign as anybody.
                    if trust.is_signed() && bit / 8 < bytes.len() - 32 {
                        repair(&mut flipped);
                        refuse(flipped);
                    }
                }
                for len in 0..bytes.len() {
                    refuse(bytes[..len].to_vec());
                }
            }
        }
    }

    #[test]
    fn frames_cannot_be_swapped_repeated_or_replaced() {
        for trust in trusts() {
            let forms = [
                [several(0), several(1)]
                    .map(|artifact| pieces(&sealed(&artifact, &trust), FRAME_LEN)),
                [several(0), several(1)]
                    .map(|artifact| pieces(&transported(&artifact, &trust), FRAME_LEN / 2)),
            ];
            for [
                genuine @ [a, b, c, seal],
                [other_a, other_b, other_c, other_seal],
            ] in &forms
            {
                let decompress = |stored: &[u8], content: &mut [u8]| {
                    assert!(
                        genuine.iter().any(|piece| piece == stored),
                        "it is not proven"
                    );
                    double(stored, content)
                };
                let open = |bytes: Vec<u8>| {
                    SealedEntry::open_transported(bytes, &key(), &trust, &decompress)
                };
                assert!(open(genuine.concat()).is_ok());
                let mut flipped = b.clone();
                flipped[b.len() / 2] ^= 1;
                // The manifest of the other entry, with the footer of this one.
                let (manifest, footer) = (&other_seal[..3 * 72], &seal[3 * 72..]);
                // Descriptions of frames swapped along with them.
                let swapped = [&seal[72..144], &seal[..72], &seal[144..]].concat();
                for forged in [
                    [b, a, c, seal],
                    [a, a, c, seal],
                    [b, b, c, seal],
                    [other_a, b, c, seal],
                    [a, other_b, c, seal],
                    [a, b, other_c, seal],
                    [a, &flipped, c, seal],
                    [a, b, c, other_seal],
                    [other_a, other_b, other_c, &[manifest, footer].concat()],
                    [b, a, c, &swapped],
                ] {
                    let error = open(forged.map(Vec::as_slice).concat()).unwrap_err();
                    assert!(error.is_corrupt(), "{error}");
                }
            }
        }
    }

    type Decompressor = fn(&[u8], &mut [u8]) -> io::Result<()>;

    const LIARS: [Decompressor; 4] = [
        |_, _| Ok(()),
        |_, content| {
            content.fill(b'x');
            Ok(())
        },
        |stored, content| {
            double(stored, content)?;
            content[content.len() - 1] ^= 1;
            Ok(())
        },
        |_, _| Err(io::ErrorKind::InvalidData.into()),
    ];

    #[test]
    fn a_decompressor_cannot_make_another_artifact_of_an_entry() {
        for trust in trusts() {
            for artifact in [b"ccooddee".to_vec(), several(0)] {
                let bytes = transported(&artifact, &trust);
                for liar in LIARS {
                    let opened =
                        SealedEntry::open_transported(bytes.clone(), &key(), &trust, &liar);
                    assert!(opened.unwrap_err().is_corrupt());
                }
            }
        }
    }

    /// Gives what it was told to, and keeps what it hears. After the last piece, it has lost its connection.
    #[derive(Debug)]
    struct Script {
        pieces: Mutex<VecDeque<Vec<u8>>>,
        decompress: Decompressor,
        refused: Mutex<Vec<InvalidEntry>>,
    }

    impl Script {
        fn new(pieces: &[&[u8]], decompress: Decompressor) -> Self {
            Self {
                pieces: Mutex::new(pieces.iter().map(|piece| piece.to_vec()).collect()),
                decompress,
                refused: Mutex::default(),
            }
        }
    }

    impl Incoming for Script {
        fn next(&self) -> io::Result<Vec<u8>> {
            let piece = self.pieces.lock().unwrap().pop_front();
            piece.ok_or_else(|| io::ErrorKind::ConnectionReset.into())
        }

        fn decompress(&self, stored: &[u8], content: &mut [u8]) -> io::Result<()> {
            (self.decompress)(stored, content)
        }

        fn refused(&self, reason: &InvalidEntry) {
            self.refused.lock().unwrap().push(reason.clone());
        }
    }

    type Way<'a> = dyn Fn(SealedEntry<'_>) -> io::Result<()> + 'a;

    /// Receives such pieces in each way that there is, and returns how that ended and what the source heard. All that came
    /// out is of `raw`, the entry as it should be.
    fn receive(
        raw: &[u8],
        pieces: &[&[u8]],
        decompress: Decompressor,
    ) -> Vec<(Result<(), io::ErrorKind>, Vec<InvalidEntry>)> {
        let trust = unauthenticated();
        let footer = Footer::parse(raw).unwrap();
        let (artifact, seal) = raw.split_at(to_index(footer.artifact_len()));
        let seal = Seal::open(footer, &seal[..seal.len() - FOOTER_LEN], &shared(1)).unwrap();
        let ways: [&Way<'_>; 5] = [
            &|entry| {
                let place = |offset, bytes: &[u8]| {
                    assert!(raw[to_index(offset)..].starts_with(bytes));
                    Ok(())
                };
                entry.write_at(&trust, &place)
            },
            &|entry| {
                let mut bytes = Vec::new();
                let outcome = entry.write_to(&trust, &mut bytes);
                assert!(raw.starts_with(&bytes) && outcome.is_ok() == (bytes.len() == raw.len()));
                outcome
            },
            &|entry| {
                let entry = entry.to_memory()?;
                assert!(!entry.is_incoming() && written(&entry, &trust)? == raw);
                Ok(())
            },
            &|entry| {
                assert!(entry.into_artifact()?.into_bytes()? == artifact);
                Ok(())
            },
            &|entry| entry.to_transport(&trust, &halve).map(drop),
        ];
        let outcomes = ways.iter().map(|way| {
            let script = Script::new(pieces, decompress);
            let entry = SealedEntry::incoming(seal.clone(), &script);
            assert!(
                entry.is_incoming() && *entry.key() == key() && entry.len() == raw.len() as u64
            );
            let outcome = way(entry).map_err(|error| error.kind());
            (outcome, script.refused.into_inner().unwrap())
        });
        outcomes.collect()
    }

    /// An entry of several frames: its pieces as they are transported, and what it is when it has arrived.
    fn on_its_way() -> ([Vec<u8>; 4], Vec<u8>) {
        let pieces = pieces(&transported(&several(0), &shared(1)), FRAME_LEN / 2);
        let raw = [several(0), pieces[3].clone()].concat();
        (pieces, raw)
    }

    #[test]
    fn an_incoming_entry_is_received_however_its_frames_are_bundled() {
        let ([a, b, c, _], raw) = on_its_way();
        let whole = [&a[..], &b, &c].concat();
        let (ab, bc) = (&whole[..FRAME_LEN], &whole[FRAME_LEN / 2..]);
        for pieces in [&[&a[..], &b, &c][..], &[ab, &c], &[&a, bc], &[&whole]] {
            for outcome in receive(&raw, pieces, double) {
                assert_eq!(outcome, (Ok(()), vec![]));
            }
        }
    }

    #[test]
    fn an_incoming_entry_with_a_bad_frame_is_refused_and_not_placed() {
        let ([a, b, c, _], raw) = on_its_way();
        let mut flipped = b.clone();
        flipped[1000] ^= 1;
        let (long, odd) = ([&c[..], b"x"].concat(), [&a[..], &b[..9]].concat());
        let mut last = c.clone();
        last[4] ^= 1;
        for pieces in [
            [&a[..], &flipped, &c],
            [&flipped, &b, &c],
            [&a, &b, &last],
            [&b, &a, &c],
            [&a, &a, &c],
            [&a, &b, &c[..4]],
            [&a, &b, &long],
            [&a, &b[1..], &c],
            [&odd, &b[9..], &c],
            [&a, b"", &b],
            [&c, &a, &b],
            [b"", &a, &b],
        ] {
            for (outcome, refused) in receive(&raw, &pieces, double) {
                assert_eq!(outcome, Err(io::ErrorKind::InvalidData));
                assert!(!refused.is_empty() && refused.iter().all(InvalidEntry::is_corrupt));
            }
        }
        for liar in LIARS {
            for (outcome, refused) in receive(&raw, &[&a, &b, &c], liar) {
                assert_eq!(outcome, Err(io::ErrorKind::InvalidData));
                assert!(!refused.is_empty());
            }
        }
    }

    #[test]
    fn nothing_unproven_of_an_incoming_entry_is_decompressed() {
        let ([a, b, c, _], raw) = on_its_way();
        let mut flipped = a.clone();
        flipped[0] ^= 1;
        for pieces in [[&flipped[..], &c], [&b, &a]] {
            for (outcome, refused) in receive(&raw, &pieces, |_, _| unreachable!("unproven")) {
                assert!(outcome.is_err() && !refused.is_empty());
            }
        }
    }

    #[test]
    fn an_incoming_entry_that_does_not_come_is_not_held_against_it() {
        let ([a, b, _, _], raw) = on_its_way();
        for pieces in [&[][..], &[&a[..]], &[&a, &b], &[&[&a[..], &b].concat()]] {
            for outcome in receive(&raw, pieces, double) {
                assert_eq!(outcome, (Err(io::ErrorKind::ConnectionReset), vec![]));
            }
        }
    }

    #[test]
    fn a_signature_stays_with_an_entry_and_is_not_replaced() {
        for (writer, stranger) in signing(1).iter().zip(signing(2).iter().rev()) {
            let bytes = sealed(b"ccooddee", writer);
            let opened = open(&bytes, writer).unwrap();
            assert_copied(&opened, writer, &bytes);
            assert_copied(&opened, &unauthenticated(), &bytes);
            assert_denied(&opened, stranger);
            // Of a store that does not look at signatures, it is as good.
            let unseen = open(&bytes, &unauthenticated()).unwrap();
            assert_copied(&unseen, writer, &bytes);
            assert_denied(&unseen, stranger);

            let mut forged = bytes;
            let signature = forged.len() - FOOTER_LEN + 192;
            forged[signature] ^= 1;
            repair(&mut forged);
            let unseen = open(&forged, &unauthenticated()).unwrap();
            assert_copied(&unseen, &unauthenticated(), &forged);
            assert_denied(&unseen, writer);
        }
    }

    #[test]
    fn an_accepted_signature_stays_under_a_trust_that_signs_with_another_key() {
        let key = SharedKey::from_bytes([1; 32]);
        let successor = Trust::shared(SharedKey::from_bytes([2; 32])).accepting(key.clone());
        let bytes = sealed(b"code", &Trust::shared(key));
        assert_copied(&open(&bytes, &successor).unwrap(), &successor, &bytes);
    }

    #[test]
    fn an_entry_without_signature_is_signed_where_that_is_asked_for() {
        for trust in trusts() {
            let expected = sealed(b"ccooddee", &trust);
            assert_copied(&entry(b"ccooddee"), &trust, &expected);
            for bytes in [
                sealed(b"ccooddee", &unauthenticated()),
                transported(b"ccooddee", &unauthenticated()),
            ] {
                let unsigned = open_either(&bytes, &unauthenticated()).unwrap();
                let seal_stays = !trust.is_signed() && bytes.len() < expected.len();
                let copy = written(&unsigned, &trust).unwrap();
                assert_eq!(copy == expected, !seal_stays);
            }
        }
    }

    #[cfg(feature = "ed25519")]
    #[test]
    fn who_has_only_the_public_key_reads_and_copies_and_cannot_write() {
        let writer = crate::SigningKey::from_bytes([1; 32]);
        let reader = Trust::signed_by([writer.verifying_key()]);
        let writer = Trust::signed(writer);
        assert!(writer.can_write() && !reader.can_write() && unauthenticated().can_write());
        let bytes = sealed(b"ccooddee", &writer);
        let opened = open(&bytes, &reader).unwrap();
        assert_copied(&opened, &reader, &bytes);
        assert!(opened.to_transport(&reader, &halve).unwrap() == bytes);
        assert!(open_either(&transported(b"ccooddee", &writer), &reader).is_ok());
        assert_denied(&entry(b"code"), &reader);
        let unsigned = sealed(b"code", &unauthenticated());
        assert_denied(&open(&unsigned, &unauthenticated()).unwrap(), &reader);
        assert_eq!(
            open(&unsigned, &reader).unwrap_err(),
            InvalidEntry::Unsigned
        );
    }

    #[test]
    fn the_same_compression_keeps_the_seal_and_another_is_signed_anew() {
        for (trust, stranger) in signing(1).iter().zip(signing(2)) {
            let bytes = transported(&several(0), trust);
            let opened = open_either(&bytes, trust).unwrap();
            let raw = written(&opened, &unauthenticated()).unwrap();
            let stored = open(&raw, trust).unwrap();
            for entry in [opened, stored] {
                for keeps in [trust, &unauthenticated()] {
                    assert!(entry.to_transport(keeps, &halve).unwrap() == bytes);
                }
                let anew = entry.to_transport(trust, &keep).unwrap();
                assert!(anew == sealed(&several(0), trust));
                let denied = entry.to_transport(&unauthenticated(), &keep).unwrap_err();
                assert_eq!(denied.kind(), io::ErrorKind::InvalidInput);
                let denied = entry.to_transport(&stranger, &keep).unwrap_err();
                assert_eq!(denied.kind(), io::ErrorKind::InvalidInput);
            }
        }
    }

    #[test]
    fn compressing_gives_nothing_the_signature_of_another_key() {
        let (old, new) = (
            SharedKey::from_bytes([1; 32]),
            SharedKey::from_bytes([2; 32]),
        );
        let rotating = Trust::shared(new.clone()).accepting(old.clone());
        let raw = sealed(&several(0), &Trust::shared(old.clone()));
        let carried = open(&raw, &rotating).unwrap();
        let bytes = carried.to_transport(&rotating, &halve).unwrap();
        let opened = |trust| open_either(&bytes, &trust);
        assert!(opened(Trust::shared(old)).is_ok());
        assert!(matches!(
            opened(Trust::shared(new)).unwrap_err(),
            InvalidEntry::UnknownKey(_)
        ));
    }

    #[test]
    fn an_entry_in_a_file_is_copied_as_it_is_and_never_when_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        let whole = sealed(&several(0), &unauthenticated());
        let footer = Footer::parse(&whole).unwrap();
        // SAFETY: the entries of these tests are never executed.
        let from = |bytes: &[u8]| unsafe {
            std::fs::write(&path, bytes).unwrap();
            let file = File::open(&path).unwrap();
            [
                SealedEntry::from_file(file, footer.clone()),
                SealedEntry::from_read(bytes.to_vec(), footer.clone()),
            ]
        };
        for trust in trusts() {
            for entry in from(&whole) {
                assert_copied(&entry, &trust, &sealed(&several(0), &trust));
                assert_eq!(artifact_of(entry), several(0));
            }
            for at in [0, FRAME_LEN, 2 * FRAME_LEN + 4, 2 * FRAME_LEN + 5 + 72] {
                let mut damaged = whole.clone();
                damaged[at] ^= 1;
                for entry in from(&damaged) {
                    for copy in copies(&entry, &trust) {
                        assert_eq!(copy.unwrap_err().kind(), io::ErrorKind::InvalidData);
                    }
                }
            }
            for entry in from(&whole[..whole.len() - FOOTER_LEN - 1]) {
                assert!(copies(&entry, &trust).iter().all(Result::is_err));
            }
        }
    }
}
