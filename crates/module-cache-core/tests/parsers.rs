//! Whatever bytes and texts come in, the parsers answer and never panic. The fuzz targets go further with
//! the same properties.

use module_cache_core::{
    EngineId, EntryKey, FOOTER_LEN, Footer, ModuleHash, SealedEntry, SigningKey, Trust,
    strip_footer,
};
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
        let trust = if signed {
            Trust::signed(SigningKey::from_bytes([1; 32]))
        } else {
            unauthenticated()
        };
        let whole = sealed(&artifact, &trust);
        let entry = SealedEntry::open(whole.clone(), &key(), &trust).unwrap();
        prop_assert_eq!(entry.into_artifact().into_bytes().unwrap(), artifact);

        let at = at.index(whole.len());
        prop_assert!(SealedEntry::open(whole[..at].to_vec(), &key(), &trust).is_err());
        let mut changed = whole;
        changed[at] ^= bits;
        prop_assert!(SealedEntry::open(changed, &key(), &trust).is_err());
    }

    #[test]
    fn only_what_was_compressed_opens(
        artifact in proptest::collection::vec(any::<u8>(), 1..2000),
        at in any::<proptest::sample::Index>(),
        bits in 1..=u8::MAX,
    ) {
        let trust = unauthenticated();
        // SAFETY: nothing here is executed.
        let entry = unsafe { SealedEntry::from_artifact(key(), &artifact) };
        // Core takes any bytes for frames.
        let whole = entry.to_compressed(&trust, |bytes| Ok(bytes.to_vec())).unwrap();
        let open = |bytes: Vec<u8>| {
            SealedEntry::open_compressed(bytes, &key(), &trust, |frames, _| Ok(frames.to_vec()))
        };
        let entry = open(whole.clone()).unwrap();
        prop_assert_eq!(entry.into_artifact().into_bytes().unwrap(), artifact);

        let at = at.index(whole.len());
        prop_assert!(open(whole[..at].to_vec()).is_err());
        let mut changed = whole;
        changed[at] ^= bits;
        prop_assert!(open(changed).is_err());
    }

    #[test]
    fn any_text_is_a_hash_or_a_key_or_refused(text in "\\PC{0,80}") {
        let hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        prop_assert_eq!(text.parse::<ModuleHash>().is_ok(), hex);
        let _ = text.parse::<SigningKey>();
        let label = EngineId::builder(&text).build();
        prop_assert!(!label.label().is_empty() && label.label().len() <= EngineId::LABEL_LEN);
        prop_assert!(label.label().bytes().all(|byte| b"abcdefghijklmnopqrstuvwxyz0123456789._-".contains(&byte)));
    }
}
