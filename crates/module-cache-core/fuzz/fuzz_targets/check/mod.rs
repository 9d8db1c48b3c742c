//! What holds of the end of any bytes.

use module_cache_core::format::{FOOTER_LEN, Footer, strip_footer};

/// A footer that parses is written the same, and is stripped from a whole entry alone.
pub(crate) fn check(bytes: &[u8]) {
    let stripped = strip_footer(bytes).len() as u64;
    let len = bytes.len() as u64;
    match Footer::parse(bytes) {
        Ok(footer) => {
            assert_eq!(footer.encode(), bytes[bytes.len() - FOOTER_LEN..]);
            let whole = stripped + footer.manifest_len() + FOOTER_LEN as u64 == len;
            assert!(stripped == len || (whole && stripped == footer.artifact_len()));
        }
        Err(_) => assert_eq!(stripped, len),
    }
}
