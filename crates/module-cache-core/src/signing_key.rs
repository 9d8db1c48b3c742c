//! Secret keys that authenticate entries, and their public names.

use std::fmt;
use std::str::FromStr;

/// A secret of 32 bytes, shared by those who may write entries for each other.
///
/// An entry that is sealed with it was written by somebody who has it. Keep it as you would keep the
/// right to run code. Its text form is 64 hexadecimal digits (`openssl rand -hex 32` makes one).
///
/// ```
/// use module_cache_core::SigningKey;
///
/// let key = SigningKey::from_bytes([7; 32]);
/// assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.id()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey([u8; 32]);

impl SigningKey {
    /// Takes 32 secret bytes, of uniform randomness.
    pub const fn from_bytes(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The public name of the key, as entries carry it.
    pub fn id(&self) -> KeyId {
        let digest = blake3::derive_key("module-cache 2026 signing key id v1", &self.0);
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        KeyId(id)
    }

    /// The key of the hash that seals an entry; separate from any other use of the secret.
    pub(crate) fn seal_key(&self) -> [u8; 32] {
        blake3::derive_key("module-cache 2026 sealed entry v1 signature", &self.0)
    }
}

/// The name of the key, never the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.id())
    }
}

impl FromStr for SigningKey {
    type Err = ParseKeyError;

    /// Reads 64 hexadecimal digits, with white space around them, as a key file has.
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let secret = blake3::Hash::from_hex(text.trim()).map_err(|_| ParseKeyError)?;
        Ok(Self(secret.into()))
    }
}

/// A text that is not a [`SigningKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key is 64 hexadecimal digits")]
pub struct ParseKeyError;

/// The public name of a [`SigningKey`]: 16 bytes from which the secret cannot be found.
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
