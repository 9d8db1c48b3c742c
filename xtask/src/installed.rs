//! Programs from crates.io, each built once for its version and kept in the target folder.

use std::env::consts::EXE_SUFFIX;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;

/// The folder that has `programs` of a package; they are built below `root` unless they are there.
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
    let mut install = process::cargo(home);
    install.args(["install", package, "--version", version, "--locked"]);
    for program in programs {
        install.args(["--bin", program]);
    }
    process::run(
        install
            .arg("--root")
            .arg(root)
            .arg("--target-dir")
            .arg(scratch.path()),
    )?;
    Ok(folder)
}
