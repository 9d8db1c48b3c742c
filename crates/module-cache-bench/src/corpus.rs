//! Real wasm that `cargo xtask corpus` brought.

use std::fs;

use crate::disk;

/// The wasm called `name`, such as "sqlite".
///
/// # Panics
///
/// When it is not there.
pub fn wasm(name: &str) -> Vec<u8> {
    let path = disk::target_folder().join(format!("corpus/{name}.wasm"));
    fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "cannot read {}: {error}; run `cargo xtask corpus` first",
            path.display()
        )
    })
}
