//! A sealed entry, in either encoding, is damaged in any way: what opens is what was sealed.
//!
//! The fuzzer repairs what anybody can: the checksum of the footer, and the hash of the manifest in it. Where there is no
//! signature, an entry may then be another one; it is still one that can be copied.
//!
//! `cargo +nightly fuzz run sealed_entry` in `crates/module-cache-core`.

#![no_main]

use std::io;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use module_cache_core::format::{FOOTER_LEN, FRAME_LEN, Footer};
use module_cache_core::{
    EngineId, EntryKey, ModuleHash, SealedEntry, SharedKey, SigningKey, Trust,
};

mod check;

#[derive(Debug, Arbitrary)]
struct Input {
    artifact: Vec<u8>,
    /// Bytes of it to begin with that are all the same, so that there may be several frames.
    zeros: u32,
    signature: Signature,
    is_transported: bool,
    changes: Vec<Change>,
    /// How many bytes are cut off.
    cut: u16,
    repair: Repair,
}

#[derive(Debug, Arbitrary)]
enum Signature {
    None,
    Shared,
    Ed25519,
}

#[derive(Debug, Arbitrary)]
struct Change {
    /// Counted from the end, where manifest and footer are.
    at: u32,
    bits: u8,
}

#[derive(Debug, Arbitrary, PartialEq)]
enum Repair {
    Nothing,
    Checksum,
    ManifestHash,
}

fuzz_target!(|input: Input| {
    let key = EntryKey::new(ModuleHash::of(b"fuzz"), EngineId::builder("fuzz").build());
    let trust = match input.signature {
        // SAFETY: nothing here is executed.
        Signature::None => unsafe { Trust::unauthenticated() },
        Signature::Shared => Trust::shared(SharedKey::from_bytes([1; 32])),
        Signature::Ed25519 => Trust::signed(SigningKey::from_bytes([1; 32])),
    };
    let mut artifact = vec![0; input.zeros as usize % (3 * FRAME_LEN)];
    artifact.extend(&input.artifact);

    // SAFETY: as above.
    let entry = unsafe { SealedEntry::from_artifact(key, &artifact) };
    let mut bytes = Vec::new();
    if input.is_transported {
        bytes = entry
            .to_transport(&trust, &trim)
            .expect("memory can be written");
    } else {
        entry
            .write_to(&trust, &mut bytes)
            .expect("memory can be written");
    }
    for Change { at, bits } in input.changes {
        let at = bytes.len() - 1 - at as usize % bytes.len();
        bytes[at] ^= bits;
    }
    bytes.truncate(bytes.len().saturating_sub(input.cut.into()));
    repair(&mut bytes, &input.repair);
    check::check(&bytes);

    let opened = SealedEntry::open_transported(bytes.clone(), &key, &trust, &fill);
    if let Ok(entry) = SealedEntry::open(bytes, &key, &trust) {
        let either = opened.as_ref().expect("it opens as transported too");
        assert_eq!(entry.len(), either.len());
    }
    let Ok(entry) = opened else { return };
    let mut copy = Vec::new();
    entry
        .write_to(&trust, &mut copy)
        .expect("what opens can be written");
    let copied = SealedEntry::open(copy, &key, &trust).expect("and opens again");
    let content = |entry: SealedEntry<'_>| {
        let artifact = entry.into_artifact().expect("it is in memory");
        artifact.into_bytes().expect("it is in memory")
    };
    let opened = content(entry);
    assert!(content(copied) == opened);
    assert!(opened == artifact || (!trust.is_signed() && input.repair == Repair::ManifestHash));
});

fn repair(entry: &mut [u8], what: &Repair) {
    let Some(at) = entry.len().checked_sub(FOOTER_LEN) else {
        return;
    };
    let checksum = |footer: &mut [u8]| {
        let (fields, checksum) = footer.split_at_mut(FOOTER_LEN - 32);
        checksum.copy_from_slice(&blake3::derive_key("module-cache 2026 footer v1", fields));
    };
    let (front, footer) = entry.split_at_mut(at);
    if *what != Repair::Nothing {
        checksum(footer);
    }
    if let (Repair::ManifestHash, Ok(parsed)) = (what, Footer::parse(footer)) {
        let len = usize::try_from(parsed.manifest_len()).unwrap_or(usize::MAX);
        if let Some(at) = front.len().checked_sub(len) {
            let hash = blake3::derive_key("module-cache 2026 manifest v1", &front[at..]);
            footer[144..176].copy_from_slice(&hash);
            checksum(footer);
        }
    }
}

/// Stands in for a compressor: leaves out the zeros in front, and stores one so that there is something.
fn trim(content: &[u8]) -> io::Result<Vec<u8>> {
    let zeros = content.iter().take_while(|&&byte| byte == 0).count();
    Ok([&[0], &content[zeros..]].concat())
}

fn fill(stored: &[u8], content: &mut [u8]) -> io::Result<()> {
    let rest = stored.get(1..).unwrap_or_default();
    let zeros = content
        .len()
        .checked_sub(rest.len())
        .ok_or(io::ErrorKind::InvalidData)?;
    content[zeros..].copy_from_slice(rest);
    content[..zeros].fill(0);
    Ok(())
}
