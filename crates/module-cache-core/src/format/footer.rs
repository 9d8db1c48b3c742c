//! The footer in which a stored entry ends. Its layout is specified in `docs/format.md`.

use super::manifest::{self, Manifest};
use crate::{EngineId, EntryKey, InvalidEntry, KeyId, ModuleHash};

/// Length of the footer in bytes.
pub const FOOTER_LEN: usize = 288;

/// Two bytes no text starts with, a name, and a line feed that a text-mode copy would change.
const MAGIC: [u8; 8] = *b"\x8a\xffMCACH\n";
const VERSION: u16 = 1;

const FLAG_SHARED: u16 = 1 << 0;
const FLAG_ED25519: u16 = 1 << 1;

/// What a signature is of: the fields from here to the key id.
const STATEMENT: std::ops::Range<usize> = 16..176;
const CHECKSUM_AT: usize = FOOTER_LEN - 32;

/// The description of an entry, in its last [`FOOTER_LEN`] bytes.
///
/// A parsed footer is undamaged, which does not prove who wrote it; [`Trust::check`](crate::Trust::check) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    key: EntryKey,
    content_len: u64,
    stored_len: u64,
    manifest_hash: [u8; 32],
    pub(crate) signature: Signature,
}

/// Who vouches for an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signature {
    None,
    Shared {
        id: KeyId,
        tag: [u8; 32],
    },
    /// It may be of a reader without the feature, who cannot tell whether it is genuine.
    Ed25519 {
        id: KeyId,
        signature: [u8; 64],
    },
}

/// How the content of an entry is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Uncompressed, as an engine uses it.
    Raw,
    /// Frame by frame, compressed where that makes it shorter.
    Transport,
}

impl Footer {
    /// The footer of an entry with such a manifest, not signed.
    pub(crate) fn unsigned(key: EntryKey, manifest: &Manifest) -> Self {
        Self {
            key,
            content_len: manifest.content_len(),
            stored_len: manifest.stored_len(),
            manifest_hash: manifest.hash(),
            signature: Signature::None,
        }
    }

    /// Reads a footer from the last bytes of `entry`, which may be just those.
    ///
    /// # Errors
    ///
    /// When there is no footer, it is damaged, or its format is not known to this version.
    pub fn parse(entry: &[u8]) -> Result<Self, InvalidEntry> {
        let Some(bytes) = entry.last_chunk::<FOOTER_LEN>() else {
            return Err(InvalidEntry::Corrupt("it is too short for a footer"));
        };
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(InvalidEntry::Corrupt("it does not end in a footer"));
        }
        if bytes[CHECKSUM_AT..] != checksum(bytes) {
            return Err(InvalidEntry::Corrupt("its footer is damaged"));
        }
        let version = u16::from_le_bytes(fields.take());
        let flags = u16::from_le_bytes(fields.take());
        let reserved: [u8; 4] = fields.take();
        if version != VERSION || flags & !(FLAG_SHARED | FLAG_ED25519) != 0 {
            return Err(InvalidEntry::Unknown { version, flags });
        }
        let content_len = u64::from_le_bytes(fields.take());
        let stored_len = u64::from_le_bytes(fields.take());
        let module = ModuleHash::from_bytes(fields.take());
        let digest = fields.take();
        let label: [u8; EngineId::LABEL_LEN] = fields.take();
        let manifest_hash = fields.take();
        let id = KeyId(fields.take());
        let tag = fields.take();
        let rest: [u8; 32] = fields.take();
        let footer = Self {
            key: EntryKey::new(module, EngineId::from_parts(parse_label(&label)?, digest)),
            content_len,
            stored_len,
            manifest_hash,
            signature: match flags {
                0 => Signature::None,
                FLAG_SHARED => Signature::Shared { id, tag },
                _ => {
                    let mut signature = [0; 64];
                    signature[..32].copy_from_slice(&tag);
                    signature[32..].copy_from_slice(&rest);
                    Signature::Ed25519 { id, signature }
                }
            },
        };
        // One set of fields has one spelling.
        if reserved != [0; 4] || footer.encode() != *bytes {
            return Err(InvalidEntry::Corrupt(
                "its footer has values that no writer produces",
            ));
        }
        let longest = u64::MAX - FOOTER_LEN as u64 - footer.manifest_len();
        if stored_len > content_len || content_len > longest {
            return Err(InvalidEntry::Corrupt("its lengths contradict each other"));
        }
        Ok(footer)
    }

    /// The footer's bytes.
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut label = [0; EngineId::LABEL_LEN];
        let text = self.key.engine().label().as_bytes();
        label[..text.len()].copy_from_slice(text);
        let mut signature = [0; 64];
        let flags = match &self.signature {
            Signature::None => 0,
            Signature::Shared { tag, .. } => {
                signature[..32].copy_from_slice(tag);
                FLAG_SHARED
            }
            Signature::Ed25519 {
                signature: made, ..
            } => {
                signature = *made;
                FLAG_ED25519
            }
        };

        let mut bytes = Vec::with_capacity(FOOTER_LEN);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.content_len.to_le_bytes());
        bytes.extend(self.stored_len.to_le_bytes());
        bytes.extend(self.key.hash().as_bytes());
        bytes.extend(self.key.engine().digest());
        bytes.extend(label);
        bytes.extend(self.manifest_hash);
        bytes.extend(self.key_id().map_or([0; 16], |id| id.0));
        bytes.extend(signature);
        bytes.extend([0; 32]);
        let mut bytes: [u8; FOOTER_LEN] = bytes
            .try_into()
            .unwrap_or_else(|_| unreachable!("the fields add up to the footer"));
        let checksum = checksum(&bytes);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum);
        bytes
    }

    /// What a signature is of.
    pub(crate) fn statement(&self) -> Vec<u8> {
        let mut statement = b"module-cache entry v1\n".to_vec();
        statement.extend(&self.encode()[STATEMENT]);
        statement
    }

    /// The entry's key.
    pub fn key(&self) -> &EntryKey {
        &self.key
    }

    /// Length of the artifact in bytes.
    pub fn artifact_len(&self) -> u64 {
        self.content_len
    }

    /// Length of the artifact in bytes, as it is transported.
    pub fn stored_len(&self) -> u64 {
        self.stored_len
    }

    /// Length in bytes of the manifest, which is between artifact and footer.
    pub fn manifest_len(&self) -> u64 {
        Manifest::len_for(self.content_len)
    }

    /// Reads the manifest that this footer vouches for.
    ///
    /// # Errors
    ///
    /// When these are other bytes, or the lengths in it contradict each other.
    pub(crate) fn manifest(&self, bytes: &[u8]) -> Result<Manifest, InvalidEntry> {
        if bytes.len() as u64 != self.manifest_len() || manifest::hash(bytes) != self.manifest_hash
        {
            return Err(InvalidEntry::Corrupt("its manifest is damaged"));
        }
        Manifest::parse(bytes, self.content_len, self.stored_len)
    }

    /// The key that the entry says it was signed with, if any.
    pub fn key_id(&self) -> Option<KeyId> {
        match self.signature {
            Signature::None => None,
            Signature::Shared { id, .. } | Signature::Ed25519 { id, .. } => Some(id),
        }
    }

    /// Checks that an entry of `entry_len` bytes with this footer is whole, is of `key`, and can be used
    /// in place.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check(&self, key: &EntryKey, entry_len: u64) -> Result<(), InvalidEntry> {
        match self.check_stored(key, entry_len)? {
            Encoding::Raw => Ok(()),
            Encoding::Transport => Err(InvalidEntry::Compressed),
        }
    }

    /// Checks that an entry of `entry_len` bytes with this footer is whole and is of `key`, and returns how its content is
    /// encoded. Content that compression does not shrink is the same in both encodings.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check_stored(&self, key: &EntryKey, entry_len: u64) -> Result<Encoding, InvalidEntry> {
        let encoding = self.encoding(entry_len)?;
        if self.key != *key {
            return Err(InvalidEntry::KeyMismatch(Box::new(self.key)));
        }
        Ok(encoding)
    }

    /// How the content stands in an entry of `entry_len` bytes.
    pub(crate) fn encoding(&self, entry_len: u64) -> Result<Encoding, InvalidEntry> {
        let around = self.manifest_len() + FOOTER_LEN as u64;
        match entry_len.checked_sub(around) {
            Some(len) if len == self.content_len => Ok(Encoding::Raw),
            Some(len) if len == self.stored_len => Ok(Encoding::Transport),
            _ => Err(InvalidEntry::Corrupt(
                "its length is not what its footer says",
            )),
        }
    }
}

fn checksum(footer: &[u8; FOOTER_LEN]) -> [u8; 32] {
    blake3::derive_key("module-cache 2026 footer v1", &footer[..CHECKSUM_AT])
}

/// The part of `bytes` in front of manifest and footer, or all of it if there are none.
///
/// An engine that maps an entry sees them behind its own bytes, and may include them when it serializes such a module.
///
/// ```
/// assert_eq!(module_cache_core::format::strip_footer(b"no footer here"), b"no footer here");
/// ```
pub fn strip_footer(bytes: &[u8]) -> &[u8] {
    match Footer::parse(bytes) {
        Ok(footer) if footer.encoding(bytes.len() as u64) == Ok(Encoding::Raw) => {
            let len = usize::try_from(footer.content_len).unwrap_or(bytes.len());
            &bytes[..len]
        }
        _ => bytes,
    }
}

/// The bytes of a footer, from front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk() else {
            unreachable!("the fields add up to the footer")
        };
        self.0 = rest;
        *field
    }
}

fn parse_label(field: &[u8; EngineId::LABEL_LEN]) -> Result<&str, InvalidEntry> {
    let len = field
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(field.len());
    std::str::from_utf8(&field[..len])
        .map_err(|_| InvalidEntry::Corrupt("its footer has values that no writer produces"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Footer {
        Footer {
            key: EntryKey::new(
                ModuleHash::from_bytes([0x11; 32]),
                EngineId::from_parts("golden-1.0", [0x22; 32]),
            ),
            content_len: 0x0506_0708,
            stored_len: 0x0102_0304,
            manifest_hash: [0x55; 32],
            signature: Signature::Ed25519 {
                id: KeyId([0x33; 16]),
                signature: [0x44; 64],
            },
        }
    }

    #[test]
    fn the_layout_never_changes() {
        let mut expected = Vec::new();
        expected.extend(b"\x8a\xffMCACH\n");
        expected.extend([1, 0, 2, 0, 0, 0, 0, 0]);
        expected.extend([8, 7, 6, 5, 0, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0]);
        expected.extend([0x11; 32]);
        expected.extend([0x22; 32]);
        expected.extend(b"golden-1.0");
        expected.extend([0; 38]);
        expected.extend([0x55; 32]);
        expected.extend([0x33; 16]);
        expected.extend([0x44; 64]);
        let checksum = blake3::derive_key("module-cache 2026 footer v1", &expected);
        expected.extend(checksum);
        assert_eq!(golden().encode().to_vec(), expected);
        assert_eq!(Footer::parse(&expected), Ok(golden()));
        assert_eq!(golden().manifest_len(), 81 * 72);
    }

    #[test]
    fn no_flipped_bit_is_overlooked() {
        let bytes = golden().encode();
        for bit in 0..FOOTER_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Footer::parse(&flipped).is_err(), "bit {bit}");
        }
    }

    type Change<'a> = dyn Fn(&mut [u8; FOOTER_LEN]) + 'a;

    /// As somebody would write them who knows how the checksum is made.
    #[test]
    fn fields_that_no_writer_makes_are_refused() {
        let parse = |change: &Change<'_>| {
            let mut bytes = golden().encode();
            change(&mut bytes);
            let sum = checksum(&bytes);
            bytes[CHECKSUM_AT..].copy_from_slice(&sum);
            Footer::parse(&bytes)
        };
        assert_eq!(parse(&|_| {}), Ok(golden()));
        let corrupt: [&Change<'_>; 6] = [
            &|bytes| bytes[12] = 1,
            // Longer when it is compressed.
            &|bytes| bytes[24..32].fill(0xee),
            // Lengths that overflow.
            &|bytes| bytes[16..24].fill(0xff),
            // A label that is not clean.
            &|bytes| bytes[96] = b' ',
            // No signature, and a name of who made it.
            &|bytes| bytes[10] = 0,
            // Both kinds of signature.
            &|bytes| bytes[10] = 3,
        ];
        for (number, change) in corrupt.iter().enumerate() {
            let error = parse(change).unwrap_err();
            assert!(error.is_corrupt(), "{number}: {error}");
        }
        for change in [8, 11] {
            let error = parse(&|bytes| bytes[change] ^= 0x80).unwrap_err();
            assert!(matches!(error, InvalidEntry::Unknown { .. }), "{error}");
        }
    }

    #[test]
    fn short_input_has_no_footer() {
        let bytes = golden().encode();
        for len in 0..FOOTER_LEN {
            assert!(Footer::parse(&bytes[..len]).unwrap_err().is_corrupt());
        }
    }

    #[test]
    fn only_a_whole_entry_loses_its_footer() {
        let manifest = Manifest::new(vec![manifest::Frame::raw(b"abc")]);
        let mut entry = b"abc".to_vec();
        entry.extend(manifest.encode());
        entry.extend(Footer::unsigned(golden().key, &manifest).encode());
        assert_eq!(strip_footer(&entry), b"abc");
        assert_eq!(strip_footer(&entry[1..]), &entry[1..]);
        assert_eq!(strip_footer(b"abc"), b"abc");
    }
}
