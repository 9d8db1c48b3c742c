//! The footer that follows a stored artifact. Its layout is specified in `docs/format.md`.

use crate::{EngineId, EntryKey, InvalidEntry, KeyId, ModuleHash};

/// Length of the footer in bytes.
pub const FOOTER_LEN: usize = 192;

/// Two bytes no text starts with, a name, and a line feed that a text-mode copy would change.
const MAGIC: [u8; 8] = *b"\x8a\xffMCACH\n";
const VERSION: u16 = 1;

const FLAG_SIGNED: u16 = 1 << 0;
const FLAG_ZSTD: u16 = 1 << 1;
// Bit 2 is kept for asymmetric signatures.
const KNOWN_FLAGS: u16 = FLAG_SIGNED | FLAG_ZSTD;

/// What an entry says about itself, in its last [`FOOTER_LEN`] bytes.
///
/// A parsed footer proves nothing; [`Trust::verify`](crate::Trust::verify) does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    key: EntryKey,
    stored_len: u64,
    artifact_len: u64,
    compressed: bool,
    pub(crate) key_id: Option<KeyId>,
    pub(crate) seal: [u8; 32],
}

impl Footer {
    /// A footer of an uncompressed artifact, not sealed yet.
    pub(crate) fn unsealed(key: EntryKey, artifact_len: u64, key_id: Option<KeyId>) -> Self {
        Self {
            key,
            stored_len: artifact_len,
            artifact_len,
            compressed: false,
            key_id,
            seal: [0; 32],
        }
    }

    /// The same for an artifact that is stored as `stored_len` compressed bytes.
    pub(crate) fn compressed_into(self, stored_len: u64) -> Self {
        Self {
            stored_len,
            compressed: true,
            ..self
        }
    }

    /// Reads a footer from the last bytes of `entry`, which may be just those.
    ///
    /// # Errors
    ///
    /// When there is none, or it is of a format that this version does not know.
    pub fn parse(entry: &[u8]) -> Result<Self, InvalidEntry> {
        let Some(bytes) = entry.last_chunk::<FOOTER_LEN>() else {
            return Err(InvalidEntry::Corrupt("it is too short for a footer"));
        };
        let mut fields = Fields(bytes);
        if fields.take() != MAGIC {
            return Err(InvalidEntry::Corrupt("it does not end in a footer"));
        }
        let version = u16::from_le_bytes(fields.take());
        let flags = u16::from_le_bytes(fields.take());
        let reserved: [u8; 4] = fields.take();
        if version != VERSION || flags & !KNOWN_FLAGS != 0 {
            return Err(InvalidEntry::Unknown { version, flags });
        }
        let stored_len = u64::from_le_bytes(fields.take());
        let artifact_len = u64::from_le_bytes(fields.take());
        let module = ModuleHash::from_bytes(fields.take());
        let digest = fields.take();
        let label: [u8; EngineId::LABEL_LEN] = fields.take();
        let key_id: [u8; 16] = fields.take();
        let footer = Self {
            key: EntryKey::new(module, EngineId::from_parts(parse_label(&label)?, digest)),
            stored_len,
            artifact_len,
            compressed: flags & FLAG_ZSTD != 0,
            key_id: (flags & FLAG_SIGNED != 0).then_some(KeyId(key_id)),
            seal: fields.take(),
        };
        // One set of fields has one spelling, so that a flipped bit cannot hide in an unused one.
        if reserved != [0; 4] || footer.encode() != *bytes {
            return Err(InvalidEntry::Corrupt(
                "its footer has values that no writer makes",
            ));
        }
        if !footer.compressed && stored_len != artifact_len {
            return Err(InvalidEntry::Corrupt("its lengths contradict each other"));
        }
        Ok(footer)
    }

    /// The footer's bytes.
    pub fn encode(&self) -> [u8; FOOTER_LEN] {
        let mut flags = 0;
        if self.key_id.is_some() {
            flags |= FLAG_SIGNED;
        }
        if self.compressed {
            flags |= FLAG_ZSTD;
        }
        let mut label = [0; EngineId::LABEL_LEN];
        let text = self.key.engine().label().as_bytes();
        label[..text.len()].copy_from_slice(text);

        let mut bytes = Vec::with_capacity(FOOTER_LEN);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(flags.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.stored_len.to_le_bytes());
        bytes.extend(self.artifact_len.to_le_bytes());
        bytes.extend(self.key.hash().as_bytes());
        bytes.extend(self.key.engine().digest());
        bytes.extend(label);
        bytes.extend(self.key_id.map_or([0; 16], |id| id.0));
        bytes.extend(self.seal);
        bytes
            .try_into()
            .unwrap_or_else(|_| unreachable!("the fields add up to the footer"))
    }

    /// The entry's key.
    pub fn key(&self) -> &EntryKey {
        &self.key
    }

    /// Length of the artifact, which differs from the stored one when it is compressed.
    pub fn artifact_len(&self) -> u64 {
        self.artifact_len
    }

    /// Whether the stored bytes are compressed with Zstandard.
    pub fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// The key that the entry was signed with, if any.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key_id
    }

    /// Checks that an entry of `entry_len` bytes with this footer is whole, is of `key`, and can be used
    /// in place.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check(&self, key: &EntryKey, entry_len: u64) -> Result<(), InvalidEntry> {
        self.check_stored(key, entry_len)?;
        if self.compressed {
            return Err(InvalidEntry::Compressed);
        }
        Ok(())
    }

    /// The same for a storage that compresses: checks that an entry of `entry_len` bytes with this footer
    /// is whole and is of `key`.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn check_stored(&self, key: &EntryKey, entry_len: u64) -> Result<(), InvalidEntry> {
        self.sealed_len_of(entry_len)?;
        if self.key != *key {
            return Err(InvalidEntry::KeyMismatch(Box::new(self.key)));
        }
        Ok(())
    }

    /// How many bytes of an entry of `entry_len` bytes the seal covers: all but the seal itself.
    pub(crate) fn sealed_len_of(&self, entry_len: u64) -> Result<u64, InvalidEntry> {
        if self.stored_len.checked_add(FOOTER_LEN as u64) == Some(entry_len) {
            Ok(entry_len - self.seal.len() as u64)
        } else {
            Err(InvalidEntry::Corrupt(
                "its length is not what its footer says",
            ))
        }
    }

    /// The fields that the seal covers, as they stand between the stored bytes and the seal.
    pub(crate) fn sealed_fields(&self) -> [u8; FOOTER_LEN - 32] {
        let mut fields = [0; FOOTER_LEN - 32];
        fields.copy_from_slice(&self.encode()[..FOOTER_LEN - 32]);
        fields
    }
}

/// The part of `bytes` in front of a footer, or all of it where there is none.
///
/// An engine that maps an entry sees the footer behind its own bytes, and may return both when it
/// serializes such a module.
///
/// ```
/// assert_eq!(module_cache_core::strip_footer(b"no footer here"), b"no footer here");
/// ```
pub fn strip_footer(bytes: &[u8]) -> &[u8] {
    match Footer::parse(bytes) {
        Ok(footer) if footer.sealed_len_of(bytes.len() as u64).is_ok() => {
            &bytes[..bytes.len() - FOOTER_LEN]
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
        .map_err(|_| InvalidEntry::Corrupt("its footer has values that no writer makes"))
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
            stored_len: 0x0102_0304,
            artifact_len: 0x0506_0708,
            compressed: true,
            key_id: Some(KeyId([0x33; 16])),
            seal: [0x44; 32],
        }
    }

    #[test]
    fn the_layout_never_changes() {
        let mut expected = Vec::new();
        expected.extend(b"\x8a\xffMCACH\n");
        expected.extend([1, 0, 3, 0, 0, 0, 0, 0]);
        expected.extend([4, 3, 2, 1, 0, 0, 0, 0, 8, 7, 6, 5, 0, 0, 0, 0]);
        expected.extend([0x11; 32]);
        expected.extend([0x22; 32]);
        expected.extend(b"golden-1.0");
        expected.extend([0; 38]);
        expected.extend([0x33; 16]);
        expected.extend([0x44; 32]);
        assert_eq!(golden().encode().to_vec(), expected);
        assert_eq!(Footer::parse(&expected), Ok(golden()));
    }

    #[test]
    fn no_flipped_bit_is_overlooked() {
        let bytes = golden().encode();
        for bit in 0..FOOTER_LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let parsed = Footer::parse(&flipped).map(|footer| footer.encode());
            assert_ne!(parsed, Ok(bytes), "bit {bit}");
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
    fn a_length_that_overflows_is_corrupt() {
        let footer = Footer {
            stored_len: u64::MAX,
            ..golden()
        };
        assert!(footer.sealed_len_of(191).unwrap_err().is_corrupt());
    }

    #[test]
    fn only_a_whole_entry_loses_its_footer() {
        let footer = Footer {
            stored_len: 3,
            artifact_len: 3,
            compressed: false,
            ..golden()
        };
        let mut entry = b"abc".to_vec();
        entry.extend(footer.encode());
        assert_eq!(strip_footer(&entry), b"abc");
        assert_eq!(strip_footer(&entry[1..]), &entry[1..]);
        assert_eq!(strip_footer(b"abc"), b"abc");
    }
}
