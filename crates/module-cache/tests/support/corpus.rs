//! Real wasm that `cargo xtask corpus` brought.

use std::path::Path;

/// The wasm called `name`, such as "resvg".
pub(crate) fn wasm(name: &str) -> Vec<u8> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = target.join(format!("corpus/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "cannot read {}: {error}; run `cargo xtask corpus` first",
            path.display()
        )
    })
}
