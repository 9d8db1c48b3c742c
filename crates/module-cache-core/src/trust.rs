//! Which writers' entries a reader accepts, and how a writer signs.

use std::io;

use crate::format::{Footer, Signature};
use crate::{InvalidEntry, KeyId, SharedKey};
#[cfg(feature = "ed25519")]
use crate::{SigningKey, VerifyingKey};

/// How the origin of the entries in a storage is proven.
///
/// ```
/// use module_cache_core::{SharedKey, Trust};
///
/// let (new, old) = (SharedKey::from_bytes([1; 32]), SharedKey::from_bytes([2; 32]));
/// let trust = Trust::shared(new).accepting(old);
/// # let _ = trust;
/// ```
#[derive(Debug, Clone)]
pub struct Trust {
    signer: Option<Signer>,
    /// Empty: who wrote an entry does not matter.
    accepted: Vec<AcceptedKey>,
}

#[derive(Debug, Clone)]
enum Signer {
    Shared(SharedKey),
    #[cfg(feature = "ed25519")]
    Pair(SigningKey),
}

/// A key by which a reader knows who wrote an entry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AcceptedKey {
    /// The secret that writers and readers share.
    Shared(SharedKey),
    /// The public half of a writer's pair.
    #[cfg(feature = "ed25519")]
    Public(VerifyingKey),
}

impl From<SharedKey> for AcceptedKey {
    fn from(key: SharedKey) -> Self {
        Self::Shared(key)
    }
}

#[cfg(feature = "ed25519")]
impl From<VerifyingKey> for AcceptedKey {
    fn from(key: VerifyingKey) -> Self {
        Self::Public(key)
    }
}

impl AcceptedKey {
    fn id(&self) -> KeyId {
        match self {
            Self::Shared(key) => key.id(),
            #[cfg(feature = "ed25519")]
            Self::Public(key) => key.id(),
        }
    }

    fn accepts(&self, footer: &Footer) -> bool {
        match (self, &footer.signature) {
            // In constant time: it is a secret until it is found.
            (Self::Shared(key), Signature::Shared { tag, .. }) => {
                key.tag(&footer.statement()) == blake3::Hash::from_bytes(*tag)
            }
            #[cfg(feature = "ed25519")]
            (Self::Public(key), Signature::Ed25519 { signature, .. }) => {
                key.verifies(&footer.statement(), signature)
            }
            _ => false,
        }
    }
}

impl Trust {
    /// Entries are signed with a shared secret, and only such entries are accepted.
    pub fn shared(key: SharedKey) -> Self {
        Self {
            accepted: vec![key.clone().into()],
            signer: Some(Signer::Shared(key)),
        }
    }

    /// Entries are signed with the secret half of a pair, and only such entries are accepted.
    #[cfg(feature = "ed25519")]
    pub fn signed(key: SigningKey) -> Self {
        Self {
            accepted: vec![key.verifying_key().into()],
            signer: Some(Signer::Pair(key)),
        }
    }

    /// Only entries that were signed with the secret half of one of these pairs are accepted. Nothing can be signed, so a
    /// storage is read-only under this trust.
    ///
    /// # Panics
    ///
    /// If there is no key.
    #[cfg(feature = "ed25519")]
    pub fn signed_by(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        let accepted: Vec<_> = keys.into_iter().map(AcceptedKey::from).collect();
        assert!(
            !accepted.is_empty(),
            "a reader needs a key to know writers by"
        );
        Self {
            signer: None,
            accepted,
        }
    }

    /// Also accepts entries that are signed with `key`, for the rotation of keys.
    ///
    /// # Panics
    ///
    /// If the trust is [unauthenticated](Self::unauthenticated), which accepts all entries already.
    #[must_use]
    pub fn accepting(mut self, key: impl Into<AcceptedKey>) -> Self {
        assert!(
            self.is_signed(),
            "an unauthenticated storage has no keys to add to"
        );
        self.accepted.push(key.into());
        self
    }

    /// Entries have checksums, which detect damage and do not prove who wrote them. The signature of a signed entry is kept
    /// and not verified.
    ///
    /// # Safety
    ///
    /// Only users who may run code in this process can write to the storage that this is used for: its contents will be
    /// executed.
    pub unsafe fn unauthenticated() -> Self {
        Self {
            signer: None,
            accepted: Vec::new(),
        }
    }

    /// Whether only signed entries are accepted.
    pub fn is_signed(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// Whether this trust can sign, so that entries can be written under it.
    pub fn can_write(&self) -> bool {
        self.signer.is_some() || !self.is_signed()
    }

    /// The name of the key that signs, if one does.
    pub(crate) fn signer(&self) -> Option<KeyId> {
        match self.signer.as_ref()? {
            Signer::Shared(key) => Some(key.id()),
            #[cfg(feature = "ed25519")]
            Signer::Pair(key) => Some(key.verifying_key().id()),
        }
    }

    /// The names of the accepted keys; the one that signs comes first.
    pub fn key_ids(&self) -> impl Iterator<Item = KeyId> {
        self.accepted.iter().map(AcceptedKey::id)
    }

    /// Checks whether an entry that names this signing key could be accepted. The signature itself is not verified.
    ///
    /// # Errors
    ///
    /// When a required signature is missing, or is of an unknown key.
    pub fn check_key(&self, key: Option<KeyId>) -> Result<(), InvalidEntry> {
        match key {
            _ if !self.is_signed() => Ok(()),
            None => Err(InvalidEntry::Unsigned),
            Some(id) if self.key_ids().any(|accepted| accepted == id) => Ok(()),
            Some(id) => Err(InvalidEntry::UnknownKey(id)),
        }
    }

    /// Verifies that an entry with this footer was made by a writer whose entries are accepted. The entry's content must
    /// still be compared with it, as [`Seal::verify`](crate::format::Seal::verify) does.
    ///
    /// # Errors
    ///
    /// When a required signature is missing, of an unknown key, or forged.
    pub fn check(&self, footer: &Footer) -> Result<(), InvalidEntry> {
        self.check_key(footer.key_id())?;
        let named = |key: &&AcceptedKey| Some(key.id()) == footer.key_id();
        let genuine = !self.is_signed()
            || self
                .accepted
                .iter()
                .filter(named)
                .any(|key| key.accepts(footer));
        if genuine {
            Ok(())
        } else {
            Err(InvalidEntry::Corrupt("its signature does not match"))
        }
    }

    /// Signs a footer as a writer does.
    ///
    /// # Errors
    ///
    /// When there is no key to sign with.
    pub(crate) fn sign(&self, footer: &mut Footer) -> io::Result<()> {
        let statement = footer.statement();
        footer.signature = match &self.signer {
            Some(Signer::Shared(key)) => Signature::Shared {
                id: key.id(),
                tag: key.tag(&statement).into(),
            },
            #[cfg(feature = "ed25519")]
            Some(Signer::Pair(key)) => Signature::Ed25519 {
                id: key.verifying_key().id(),
                signature: key.sign(&statement),
            },
            None if self.is_signed() => {
                let text = "there is no secret key to sign with";
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            None => Signature::None,
        };
        Ok(())
    }
}
