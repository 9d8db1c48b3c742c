//! Which stored entries a reader accepts, and how a writer seals them.

use std::io;

use blake3::hazmat::{ContextKey, Mode, hash_derive_key_context};

use crate::{InvalidEntry, KeyId, SigningKey, footer::Footer, parallel_hash};

/// Why a reader may believe what it finds in a storage.
///
/// ```
/// use module_cache_core::{SigningKey, Trust};
///
/// let (new, old) = (SigningKey::from_bytes([1; 32]), SigningKey::from_bytes([2; 32]));
/// let trust = Trust::signed(new).accepting(old);
/// # let _ = trust;
/// ```
#[derive(Debug, Clone)]
pub struct Trust {
    /// The first one signs; all are accepted. Empty: entries carry a checksum only.
    keys: Vec<SigningKey>,
}

impl Trust {
    /// Entries are sealed with `key`, and only signed ones are accepted.
    pub fn signed(key: SigningKey) -> Self {
        Self { keys: vec![key] }
    }

    /// Accepts entries that are sealed with `key` too, as during the rotation of keys.
    ///
    /// # Panics
    ///
    /// If the trust is [unauthenticated](Self::unauthenticated): its safety rests on something else, and
    /// one key more would not add any.
    #[must_use]
    pub fn accepting(mut self, key: SigningKey) -> Self {
        assert!(
            !self.keys.is_empty(),
            "an unauthenticated storage has no keys to add to"
        );
        self.keys.push(key);
        self
    }

    /// Entries carry a checksum, which finds damage and proves nothing about who wrote them.
    ///
    /// # Safety
    ///
    /// Only those who may run code in this process can write to the storage that this is used for: what
    /// lies in it will be executed.
    pub unsafe fn unauthenticated() -> Self {
        Self { keys: Vec::new() }
    }

    /// Whether only signed entries are accepted.
    pub fn is_signed(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Checks whether this reader would accept an entry with such a footer, before its bytes are looked
    /// at.
    ///
    /// # Errors
    ///
    /// When the entry has no signature where one is needed, or one of an unknown key.
    pub fn check(&self, footer: &Footer) -> Result<(), InvalidEntry> {
        self.mode_of(footer).map(drop)
    }

    /// Verifies a whole entry, stored bytes and footer, of which `footer` was parsed.
    ///
    /// # Errors
    ///
    /// When it is not accepted, or its seal does not match.
    pub fn verify(&self, footer: &Footer, entry: &[u8]) -> Result<(), InvalidEntry> {
        let mode = self.mode_of(footer)?;
        let sealed = footer.sealed_len_of(entry.len() as u64)?;
        let sealed = usize::try_from(sealed)
            .unwrap_or(entry.len())
            .min(entry.len());
        let hash = parallel_hash::hash_slices(&mode.as_mode(), [&entry[..sealed], &[]]);
        compare(hash, footer)
    }

    /// The same for an entry of `len` bytes that is not in memory: `read` fills a buffer with the bytes at an offset, and
    /// is called from several threads.
    ///
    /// # Errors
    ///
    /// The outer error is one of `read`; the inner one is as for [`verify`](Self::verify).
    pub fn verify_read(
        &self,
        footer: &Footer,
        len: u64,
        read: &(dyn Fn(&mut [u8], u64) -> io::Result<()> + Sync),
    ) -> io::Result<Result<(), InvalidEntry>> {
        let sealed = self.mode_of(footer).and_then(|mode| {
            let sealed = footer.sealed_len_of(len)?;
            Ok((mode, sealed))
        });
        let (mode, sealed) = match sealed {
            Ok(sealed) => sealed,
            Err(reason) => return Ok(Err(reason)),
        };
        let hash = parallel_hash::hash_read(&mode.as_mode(), sealed, read)?;
        Ok(compare(hash, footer))
    }

    /// How a writer seals, and the name of the key it does so with.
    pub(crate) fn sealing(&self) -> (SealMode, Option<KeyId>) {
        match self.keys.first() {
            Some(key) => (SealMode::Signed(key.seal_key()), Some(key.id())),
            None => (SealMode::checksum(), None),
        }
    }

    /// How an entry with this footer was sealed, if that is accepted.
    pub(crate) fn mode_of(&self, footer: &Footer) -> Result<SealMode, InvalidEntry> {
        match footer.key_id {
            None if self.is_signed() => Err(InvalidEntry::Unsigned),
            None => Ok(SealMode::checksum()),
            Some(id) => match self.keys.iter().find(|key| key.id() == id) {
                Some(key) => Ok(SealMode::Signed(key.seal_key())),
                None => Err(InvalidEntry::UnknownKey(id)),
            },
        }
    }
}

/// Compares in constant time: a seal with a key is a secret until it is found.
fn compare(hash: [u8; 32], footer: &Footer) -> Result<(), InvalidEntry> {
    if blake3::Hash::from_bytes(hash) == blake3::Hash::from_bytes(footer.seal) {
        Ok(())
    } else {
        Err(InvalidEntry::Corrupt("its checksum does not match"))
    }
}

/// The hash that makes a seal.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SealMode {
    Checksum(ContextKey),
    Signed([u8; 32]),
}

impl SealMode {
    pub(crate) fn checksum() -> Self {
        Self::Checksum(hash_derive_key_context(
            "module-cache 2026 sealed entry v1 checksum",
        ))
    }

    pub(crate) fn as_mode(&self) -> Mode<'_> {
        match self {
            Self::Checksum(key) => Mode::DeriveKeyMaterial(key),
            Self::Signed(key) => Mode::KeyedHash(key),
        }
    }

    pub(crate) fn hasher(&self) -> blake3::Hasher {
        match self {
            Self::Checksum(key) => blake3::hazmat::HasherExt::new_from_context_key(key),
            Self::Signed(key) => blake3::Hasher::new_keyed(key),
        }
    }
}
