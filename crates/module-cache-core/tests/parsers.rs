//! Whatever bytes and texts come in, the parsers answer and never panic. The fuzz targets go further with
//! the same properties.

use std::io;

use module_cache_core::format::{FOOTER_LEN, Footer, strip_footer};
use module_cache_core::{EngineId, EntryKey, ModuleHash, SealedEntry, SharedKey, Trust};
use proptest::prelude::*;

fn key() -> EntryKey {
    EntryKey::new(ModuleHash::of(b"wasm"), EngineId::builder("test").build())
}

fn sealed(artifact: &[u8], trust: &Trust) -> Vec<u8> {
    // SAFETY: nothing here is executed.
    let entry = unsafe { SealedEntry::from_artifact(key(), artifact) };
    let mut bytes = Vec::new();
    entry.write_to(trust, &mut bytes).unwrap();
    bytes
}

fn unauthenticated() -> Trust {
    // SAFETY: nothing here is executed.
    unsafe { Trust::unauthenticated() }
}

/// Stands in for a compressor: makes half of bytes that come in equal pairs.
#[expect(clippy::unnecessary_wraps, reason = "it is a compressor")]
fn halve(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut pairs = bytes.chunks(2);
    if !pairs.all(|pair| matches!(pair, [one, other] if one == other)) {
        return Ok(bytes.to_vec());
    }
    Ok(bytes.iter().copied().step_by(2).collect())
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

fn trust(signed: bool) -> Trust {
    if signed {
        Trust::shared(SharedKey::from_bytes([1; 32]))
    } else {
        unauthenticated()
    }
}

/// The number of keys in `trust_of`.
const KEYS: usize = if cfg!(feature = "ed25519") { 6 } else { 3 };

/// Signs with one of several keys of each kind, and accepts others too.
fn trust_of(signer: usize, accepted: &[usize]) -> Trust {
    let shared = |number: usize| SharedKey::from_bytes([number.to_le_bytes()[0]; 32]);
    #[cfg(feature = "ed25519")]
    let pair =
        |number: usize| module_cache_core::SigningKey::from_bytes([number.to_le_bytes()[0]; 32]);
    let trust = match signer {
        #[cfg(feature = "ed25519")]
        3.. => Trust::signed(pair(signer)),
        _ => Trust::shared(shared(signer)),
    };
    accepted.iter().fold(trust, |trust, &number| match number {
        #[cfg(feature = "ed25519")]
        3.. => trust.accepting(pair(number).verifying_key()),
        _ => trust.accepting(shared(number)),
    })
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(Footer::parse(&bytes).is_err());
        prop_assert_eq!(strip_footer(&bytes), &bytes[..]);
    }

    #[test]
    fn a_changed_footer_is_refused_or_written_as_it_was_read(
        changes in proptest::collection::vec((0..FOOTER_LEN, any::<u8>()), 1..8),
    ) {
        let mut bytes = sealed(b"code", &unauthenticated());
        for (at, value) in changes {
            bytes[4 + at] = value;
        }
        if let Ok(footer) = Footer::parse(&bytes) {
            prop_assert_eq!(&footer.encode()[..], &bytes[bytes.len() - FOOTER_LEN..]);
        }
    }

    #[test]
    fn only_what_was_sealed_opens(
        artifact in proptest::collection::vec(any::<u8>(), 1..2000),
        at in any::<proptest::sample::Index>(),
        bits in 1..=u8::MAX,
        signed in any::<bool>(),
    ) {
        let trust = trust(signed);
        let whole = sealed(&artifact, &trust);
        let entry = SealedEntry::open(whole.clone(), &key(), &trust).unwrap();
        prop_assert_eq!(entry.into_artifact().unwrap().into_bytes().unwrap(), artifact);

        let at = at.index(whole.len());
        prop_assert!(SealedEntry::open(whole[..at].to_vec(), &key(), &trust).is_err());
        let mut changed = whole;
        changed[at] ^= bits;
        prop_assert!(SealedEntry::open(changed, &key(), &trust).is_err());
    }

    #[test]
    fn only_what_was_compressed_opens(
        half in proptest::collection::vec(any::<u8>(), 1..2000),
        at in any::<proptest::sample::Index>(),
        bits in 1..=u8::MAX,
        signed in any::<bool>(),
        shrinks in any::<bool>(),
    ) {
        let trust = trust(signed);
        let artifact = if shrinks { half.iter().flat_map(|&byte| [byte; 2]).collect() } else { half };
        // SAFETY: nothing here is executed.
        let entry = unsafe { SealedEntry::from_artifact(key(), &artifact) };
        let whole = entry.to_transport(&trust, &halve).unwrap();
        let open = |bytes: Vec<u8>| SealedEntry::open_transported(bytes, &key(), &trust, &double);
        let entry = open(whole.clone()).unwrap();
        prop_assert_eq!(entry.to_transport(&trust, &halve).unwrap(), &whole[..]);
        prop_assert_eq!(entry.into_artifact().unwrap().into_bytes().unwrap(), artifact);

        let at = at.index(whole.len());
        prop_assert!(open(whole[..at].to_vec()).is_err());
        let mut changed = whole;
        changed[at] ^= bits;
        prop_assert!(open(changed).is_err());
    }

    #[test]
    fn an_entry_opens_where_its_key_is_accepted_and_keeps_its_signature_there(
        writer in 0..KEYS,
        signer in 0..KEYS,
        accepted in proptest::collection::vec(0..KEYS, 0..4),
    ) {
        let reader = trust_of(signer, &accepted);
        let bytes = sealed(b"code", &trust_of(writer, &[]));
        let known = signer == writer || accepted.contains(&writer);
        let opened = SealedEntry::open(bytes.clone(), &key(), &reader);
        prop_assert_eq!(opened.is_ok(), known);

        let entry = SealedEntry::open(bytes.clone(), &key(), &unauthenticated()).unwrap();
        let mut copy = Vec::new();
        match entry.write_to(&reader, &mut copy) {
            Ok(()) => prop_assert!(known && copy == bytes),
            Err(error) => prop_assert!(!known && error.kind() == io::ErrorKind::InvalidInput),
        }
    }

    #[test]
    fn any_text_is_a_hash_or_a_key_or_refused(text in "\\PC{0,80}") {
        let hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        prop_assert_eq!(text.parse::<ModuleHash>().is_ok(), hex);
        prop_assert_eq!(text.trim().len() == text.len() && text.parse::<SharedKey>().is_ok(), hex);
        #[cfg(feature = "ed25519")]
        for prefix in ["", "ed25519-secret:", "ed25519-public:"] {
            let text = format!("{prefix}{text}");
            prop_assert_eq!(text.parse::<module_cache_core::SigningKey>().is_ok(), hex && prefix.contains("secret"));
            prop_assert!(text.parse::<module_cache_core::VerifyingKey>().is_err() || prefix.contains("public"));
        }
        let label = EngineId::builder(&text).build();
        prop_assert!(!label.label().is_empty() && label.label().len() <= EngineId::LABEL_LEN);
        prop_assert!(label.label().bytes().all(|byte| b"abcdefghijklmnopqrstuvwxyz0123456789._-".contains(&byte)));
    }
}
