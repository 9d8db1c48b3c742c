//! Shared secrets that authenticate entries, and the names of keys.

use std::fmt;
use std::str::FromStr;

/// A secret of 32 bytes, shared by all that write or read certain entries.
///
/// An entry that is signed with it was written by a holder of the key. Each holder can also write entries that the others
/// execute, so protect the key accordingly. Its text form is 64 hexadecimal digits.
///
/// ```
/// use module_cache_core::SharedKey;
///
/// let key = SharedKey::from_bytes([7; 32]);
/// assert_eq!(format!("{key:?}"), format!("SharedKey({})", key.id()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey([u8; 32]);

impl SharedKey {
    /// A key from 32 secret bytes, which must be uniformly random.
    pub const fn from_bytes(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The public name of the key, as stored in entries.
    pub fn id(&self) -> KeyId {
        let digest = blake3::derive_key("module-cache 2026 shared key id v1", &self.0);
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        KeyId(id)
    }

    /// The text form, which contains the secret itself.
    pub fn to_secret_text(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// What it adds to a statement, that nobody adds who has not the key.
    pub(crate) fn tag(&self, statement: &[u8]) -> blake3::Hash {
        // Separate from any other use of the secret.
        let key = blake3::derive_key("module-cache 2026 entry v1 shared signature", &self.0);
        blake3::keyed_hash(&key, statement)
    }
}

/// The name of the key, never the secret.
impl fmt::Debug for SharedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SharedKey({})", self.id())
    }
}

impl FromStr for SharedKey {
    type Err = ParseKeyError;

    /// Reads 64 hexadecimal digits, with white space around them, as a key file has.
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let secret = blake3::Hash::from_hex(text.trim()).map_err(|_| ParseKeyError)?;
        Ok(Self(secret.into()))
    }
}

/// The text is not a key of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key of this kind")]
pub struct ParseKeyError;

/// The public name of a key: 16 bytes that do not reveal the secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(crate) [u8; 16]);

impl fmt::Display for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyId({self})")
    }
}
