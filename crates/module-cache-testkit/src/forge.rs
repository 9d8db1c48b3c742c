//! Entries as an attacker writes them who knows the format and has no key.

use module_cache_core::format::FOOTER_LEN;

/// Where a footer has its signature, and where its checksum.
const SIGNATURE: usize = 192;
const CHECKSUM: usize = FOOTER_LEN - 32;

/// Breaks the signature of a signed entry. The entry still names the same key, and its checksum is right, so only the
/// verification of the signature fails.
///
/// # Panics
///
/// If it is shorter than a footer.
///
/// ```
/// # use module_cache_core::{EngineId, EntryKey, ModuleHash, SealedEntry, SharedKey, Trust};
/// # let key = EntryKey::new(ModuleHash::of(b"wasm"), EngineId::builder("test").build());
/// # // SAFETY: it is not executed.
/// # let entry = unsafe { SealedEntry::from_artifact(key, &b"code"[..]) };
/// let trust = Trust::shared(SharedKey::from_bytes([1; 32]));
/// let mut bytes = Vec::new();
/// entry.write_to(&trust, &mut bytes)?;
/// module_cache_testkit::forge_signature(&mut bytes);
/// assert!(SealedEntry::open(bytes, &key, &trust).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn forge_signature(entry: &mut [u8]) {
    let footer = entry.len() - FOOTER_LEN;
    let footer = &mut entry[footer..];
    footer[SIGNATURE] ^= 1;
    let checksum = blake3::derive_key("module-cache 2026 footer v1", &footer[..CHECKSUM]);
    footer[CHECKSUM..].copy_from_slice(&checksum);
}
