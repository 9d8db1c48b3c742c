//! Programs from crates.io, each built once for its version and kept in the target folder.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;

/// The folder that has `programs` of a package; they are built below `root` unless they are there.
///
/// # Errors
///
/// When they cannot be built, with the command that builds them by hand.
pub(crate) fn ready(
    root: &Path,
    package: &str,
    version: &str,
    programs: &[&str],
) -> Result<PathBuf> {
    let folder = root.join("bin");
    let mut files = programs
        .iter()
        .map(|program| folder.join(format!("{program}{EXE_SUFFIX}")));
    if files.all(|file| file.is_file()) {
        return Ok(folder);
    }
    eprintln!("building {package} {version}, once (some minutes)");
    let home = root.parent().context("a folder without a parent")?;
    std::fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(home)?;
    with_or_without_lock_file(|lock| {
        let mut install = process::cargo(home);
        install.args(["install", package, "--version", version]);
        for program in programs {
            install.args(["--bin", program]);
        }
        process::run(
            install
                .args(lock)
                .arg("--root")
                .arg(root)
                .arg("--target-dir")
                .arg(scratch.path()),
        )
    })
    .with_context(|| {
        let root = root.display();
        format!(
            "cannot build {package}; see why with: cargo install {package} --version {version} --root '{root}'"
        )
    })?;
    Ok(folder)
}

/// Installs with the package's own lock file. It names versions that the registry may not serve any more: then
/// with the newest that its manifest admits.
fn with_or_without_lock_file(install: impl Fn(&[&str]) -> Result<()>) -> Result<()> {
    let Err(error) = install(&["--locked"]) else {
        return Ok(());
    };
    eprintln!("{error:#}\ntrying again without the package's lock file");
    install(&[])
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn a_lock_file_that_cannot_be_served_is_left_out() {
        let tried = RefCell::new(Vec::new());
        with_or_without_lock_file(|lock| {
            tried.borrow_mut().push(lock.join(" "));
            match lock {
                [] => Ok(()),
                _ => bail!("failed to select a version for the requirement"),
            }
        })
        .unwrap();
        assert_eq!(tried.into_inner(), ["--locked", ""]);
    }

    #[test]
    fn a_program_that_cannot_be_built_is_an_error_with_the_command_to_try() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tools/none");
        // No registry is asked: a version has to begin with a number.
        let error = ready(&root, "no-such-package", "none", &["none"]).unwrap_err();
        let command = "cargo install no-such-package --version none --root";
        assert!(error.to_string().contains(command), "{error:#}");
    }
}
