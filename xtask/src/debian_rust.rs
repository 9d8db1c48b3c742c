//! Debian's Rust compiler, which comes with the source of the standard library: it builds that library for
//! targets that the toolchain of this workspace does not have.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{debian, process};

const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
/// Is there if it is the compiler of [`PACKAGES`], and not an older one.
const SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std";
const PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Installs the compiler where it is missing, because this toolchain does not have `target`.
pub(crate) fn ready(target: &str) -> Result<()> {
    if [CARGO, RUSTC, SOURCE]
        .iter()
        .all(|path| Path::new(path).exists())
    {
        return Ok(());
    }
    debian::install(&PACKAGES).with_context(|| {
        format!("this toolchain has not the target {target}; `rustup target add {target}` is another way")
    })
}

/// Debian's cargo with Debian's compiler, in `folder`, whatever rustup puts in front of it.
pub(crate) fn cargo(folder: &Path) -> Command {
    let mut command = process::cargo_at(CARGO.as_ref(), folder);
    command
        .env("RUSTC", RUSTC)
        .env_remove("RUSTUP_TOOLCHAIN")
        // Has the libraries of the compiler that this program was built by.
        .env_remove("LD_LIBRARY_PATH");
    command
}

/// The same for `-Zbuild-std`. The option is for nightly compilers only, and does what it says on this one, too.
pub(crate) fn cargo_for_std(folder: &Path) -> Command {
    let mut command = cargo(folder);
    command.env("RUSTC_BOOTSTRAP", "1");
    command
}

/// What the compiler says of itself.
pub(crate) fn version() -> Result<String> {
    let said = process::capture(Command::new(RUSTC).arg("--version"))?;
    Ok(String::from_utf8(said)?)
}
