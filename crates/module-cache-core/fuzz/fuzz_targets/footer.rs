//! Any bytes are parsed as a footer: no panic, and what parses is written the same.
//!
//! `cargo +nightly fuzz run footer` in `crates/module-cache-core`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use module_cache_core::{FOOTER_LEN, Footer, strip_footer};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(footer) = Footer::parse(bytes) {
        assert_eq!(footer.encode(), bytes[bytes.len() - FOOTER_LEN..]);
    }
    let stripped = strip_footer(bytes).len();
    assert!(stripped == bytes.len() || stripped + FOOTER_LEN == bytes.len());
});
