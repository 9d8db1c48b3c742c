//! Pairs of keys: the secret key signs entries, and the public key only verifies who signed them.
//!
//! The signatures are Ed25519 (RFC 8032), by `ed25519-dalek`.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer;

use crate::{KeyId, ParseKeyError};

const SECRET: &str = "ed25519-secret:";
const PUBLIC: &str = "ed25519-public:";

/// The secret half of a pair of keys, which signs entries.
///
/// Its text form is `ed25519-secret:` and 64 hexadecimal digits.
///
/// ```
/// use module_cache_core::{SigningKey, Trust};
///
/// let key = SigningKey::from_bytes([7; 32]);
/// let reader = Trust::signed_by([key.verifying_key()]);
/// # let _ = reader;
/// ```
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A key from 32 secret bytes, which must be uniformly random.
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(&secret))
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(self.0.verifying_key())
    }

    /// The text form, which contains the secret itself.
    pub fn to_secret_text(&self) -> String {
        format!("{SECRET}{}", hex(self.0.as_bytes()))
    }

    pub(crate) fn sign(&self, statement: &[u8]) -> [u8; 64] {
        self.0.sign(statement).to_bytes()
    }
}

/// The name of the key, never the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SigningKey({})", self.verifying_key().id())
    }
}

impl FromStr for SigningKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        Ok(Self::from_bytes(parse(text, SECRET)?))
    }
}

/// The public half of a pair of keys, which verifies that an entry was signed with the secret half.
///
/// Its text form is `ed25519-public:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(ed25519_dalek::VerifyingKey);

impl VerifyingKey {
    /// The name of the pair, as entries carry it.
    pub fn id(&self) -> KeyId {
        let digest = blake3::derive_key("module-cache 2026 ed25519 key id v1", self.0.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        KeyId(id)
    }

    pub(crate) fn verifies(&self, statement: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        // Strictly: one signature has one spelling, and no weak key has any.
        self.0.verify_strict(statement, &signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PUBLIC}{}", hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&parse(text, PUBLIC)?);
        match key {
            Ok(key) if !key.is_weak() => Ok(Self(key)),
            _ => Err(ParseKeyError),
        }
    }
}

fn parse(text: &str, prefix: &str) -> Result<[u8; 32], ParseKeyError> {
    let digits = text.trim().strip_prefix(prefix).ok_or(ParseKeyError)?;
    let bytes = blake3::Hash::from_hex(digits).map_err(|_| ParseKeyError)?;
    Ok(bytes.into())
}

fn hex(bytes: &[u8; 32]) -> String {
    blake3::Hash::from_bytes(*bytes).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_signs_as_the_standard_says_and_its_texts_are_told_apart() {
        // Test 1 of RFC 8032, section 7.1.
        let secret =
            "ed25519-secret:9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public =
            "ed25519-public:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let key: SigningKey = secret.parse().unwrap();
        assert_eq!(key.to_secret_text(), secret);
        assert_eq!(key.verifying_key().to_string(), public);
        assert_eq!(public.parse(), Ok(key.verifying_key()));
        let signature = key.sign(b"");
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(key.verifying_key().verifies(b"", &signature));
        assert!(!key.verifying_key().verifies(b"x", &signature));
        assert!(secret.parse::<VerifyingKey>().is_err() && public.parse::<SigningKey>().is_err());
        assert!(!format!("{key:?}").contains("9d61"));
    }

    #[test]
    fn a_weak_key_is_none() {
        let zero = format!("{PUBLIC}{}", "00".repeat(32));
        let one = format!("{PUBLIC}01{}", "00".repeat(31));
        assert!(zero.parse::<VerifyingKey>().is_err() && one.parse::<VerifyingKey>().is_err());
    }
}
