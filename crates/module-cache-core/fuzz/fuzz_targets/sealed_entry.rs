//! A sealed entry is damaged in any way: what opens is what was sealed.
//!
//! `cargo +nightly fuzz run sealed_entry` in `crates/module-cache-core`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use module_cache_core::{EngineId, EntryKey, ModuleHash, SealedEntry, Trust};

fuzz_target!(|input: (Vec<u8>, Vec<(usize, u8)>, usize)| {
    let (artifact, changes, len) = input;
    let key = EntryKey::new(ModuleHash::of(b"fuzz"), EngineId::builder("fuzz").build());
    // SAFETY: nothing here is executed.
    let trust = unsafe { Trust::unauthenticated() };
    // SAFETY: as above.
    let entry = unsafe { SealedEntry::from_artifact(key, &artifact) };
    let mut bytes = Vec::new();
    entry.write_to(&trust, &mut bytes).expect("memory can be written");
    for (at, bits) in changes {
        let at = at % bytes.len();
        bytes[at] ^= bits;
    }
    bytes.truncate(len);
    if let Ok(entry) = SealedEntry::open(bytes, &key, &trust) {
        assert_eq!(entry.into_artifact().into_bytes().expect("it is in memory"), artifact);
    }
});
