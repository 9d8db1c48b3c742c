//! Any bytes are parsed as a footer, as they are and with their checksum repaired: no panic, and what parses is written
//! the same.
//!
//! `cargo +nightly fuzz run footer` in `crates/module-cache-core`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use module_cache_core::format::FOOTER_LEN;

mod check;

use check::check;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut repaired = bytes.to_vec();
    if let Some(footer) = repaired.last_chunk_mut::<FOOTER_LEN>() {
        let (fields, checksum) = footer.split_at_mut(FOOTER_LEN - 32);
        checksum.copy_from_slice(&blake3::derive_key("module-cache 2026 footer v1", fields));
        check(&repaired);
    }
});
