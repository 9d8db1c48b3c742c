//! The cargo of another version of Rust, which rustup brings.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A cargo in `folder` with Rust `version`, such as `1.86`; it is installed unless it is here.
///
/// # Errors
///
/// When it cannot be installed, with the command that installs it by hand.
pub(crate) fn cargo(folder: &Path, version: &str) -> Result<Command> {
    if ours()? == version {
        return Ok(process::cargo(folder));
    }
    let mut rustup = of_rustup(folder);
    if process::capture(rustup.args(["run", version, "rustc", "--version"])).is_err() {
        let install = ["toolchain", "install", "--profile", "minimal", version];
        process::run(of_rustup(folder).args(install)).with_context(|| {
            format!(
                "Rust {version} is needed; install it with: rustup {}",
                install.join(" ")
            )
        })?;
    }
    let mut command = of_rustup(folder);
    command.args(["run", version, "cargo"]);
    Ok(command)
}

/// The same, or the cargo of this workspace if that is no older.
pub(crate) fn cargo_of_at_least(folder: &Path, version: &str) -> Result<Command> {
    if minor(&ours()?)? >= minor(version)? {
        return Ok(process::cargo(folder));
    }
    cargo(folder, version)
}

/// The version that this workspace is built with, in two parts.
fn ours() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = String::from_utf8(process::capture(Command::new(rustc).arg("--version"))?)?;
    let version = said.split(' ').nth(1).unwrap_or_default();
    Ok(format!("1.{}", minor(version)?))
}

fn minor(version: &str) -> Result<u32> {
    let mut parts = version.split('.').skip(1);
    let minor = parts.next().and_then(|part| part.parse().ok());
    minor.with_context(|| format!("{version:?} is no version of Rust"))
}

/// rustup, without what this toolchain has put into the environment.
fn of_rustup(folder: &Path) -> Command {
    let mut command = process::cargo_at("rustup".as_ref(), folder);
    for name in [
        "CARGO",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTDOC",
        "RUSTUP_TOOLCHAIN",
    ] {
        command.env_remove(name);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toolchain_that_is_here_is_used_as_it_is() {
        let ours = ours().unwrap();
        for cargo in [
            cargo(".".as_ref(), &ours),
            cargo_of_at_least(".".as_ref(), &ours),
            cargo_of_at_least(".".as_ref(), "1.2"),
        ] {
            assert_ne!(cargo.unwrap().get_program(), "rustup");
        }
    }

    #[test]
    fn what_is_no_version_is_an_error() {
        assert_eq!(minor("1.86").unwrap(), 86);
        assert_eq!(minor("1.97.1").unwrap(), 97);
        assert!(minor("nightly").is_err());
    }
}
