//! The release lines of the wasmtime adapter: one for each major version of wasmtime, all made of one source.
//!
//! The workspace is the line that [`home`] names. Another line is a [copy](workspace_copy) with another version of the adapter
//! and another wasmtime.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::manifest::{dependency, read, workspace_version};
use crate::workspace::Workspace;
use crate::{process, workspace_copy};

/// The crate that has lines.
pub(crate) const ADAPTER: &str = "module-cache-wasmtime";

/// The major versions of wasmtime that have one.
pub(crate) const MAJORS: RangeInclusive<u64> = 36..=50;

/// The line that the workspace itself is.
pub(crate) fn home(manifest: &Table) -> Result<u64> {
    dependency(manifest, "wasmtime")
        .and_then(|version| version.parse().ok())
        .context("the root manifest has no `wasmtime = { version = \"…\" }` with a major version")
}

/// The adapter's version in the line of wasmtime `major`: what follows the major is the workspace's own version.
///
/// The minor is that of the workspace because it changes when core does so that two versions cannot be used together.
pub(crate) fn version(major: u64, workspace_version: &str) -> Result<String> {
    let own = workspace_version
        .strip_prefix("0.")
        .context("decide what the versions of lines are from 1.0 on")?;
    Ok(format!("{major}.{own}"))
}

/// What to ask for, to get the line of wasmtime `major` and nothing that breaks.
pub(crate) fn requirement(major: u64, workspace_version: &str) -> Result<String> {
    let version = version(major, workspace_version)?;
    let (compatible, _) = version.rsplit_once('.').context("a version of one part")?;
    Ok(format!("~{compatible}"))
}

/// Writes the line of wasmtime `major` to a workspace of its own, and returns its folder; what was built there
/// before stays.
pub(crate) fn lay_out(workspace: &Workspace, major: u64) -> Result<PathBuf> {
    ensure!(
        MAJORS.contains(&major),
        "wasmtime {major} has no line; those from {} to {} have",
        MAJORS.start(),
        MAJORS.end()
    );
    let copy = workspace.target.join(format!("lines/{major}"));
    write(workspace, major, &copy).with_context(|| format!("cannot prepare {}", copy.display()))?;
    Ok(copy)
}

fn write(workspace: &Workspace, major: u64, copy: &Path) -> Result<()> {
    let manifest = read(&workspace.root.join("Cargo.toml"))?;
    let own = workspace_version(&manifest)?;
    let wasmtime = major.to_string();
    workspace_copy::write(
        workspace,
        ADAPTER,
        copy,
        &[
            ("wasmtime", &wasmtime),
            ("wasmtime-environ", &wasmtime),
            (ADAPTER, &requirement(major, own)?),
        ],
    )?;
    let adapter = copy.join(format!("crates/{ADAPTER}/Cargo.toml"));
    let manifest = with_version(read(&adapter)?, &version(major, own)?)?;
    Ok(fs::write(&adapter, manifest.to_string())?)
}

/// Packs members of the workspace in `root`, whose target folder is `target`, without building them, and returns the
/// folder of the packages.
pub(crate) fn pack(root: &Path, target: &Path, members: &[&str]) -> Result<PathBuf> {
    let mut command = process::cargo(root);
    command.args([
        "package",
        "--no-verify",
        "--exclude-lockfile",
        "--allow-dirty",
    ]);
    for name in members {
        command.args(["--package", name]);
    }
    process::capture(command.env("CARGO_TARGET_DIR", target))?;
    Ok(target.join("package"))
}

/// The adapter's manifest with another version.
fn with_version(mut manifest: Table, version: &str) -> Result<Table> {
    let package = manifest.get_mut("package").and_then(Value::as_table_mut);
    package
        .context("no [package]")?
        .insert("version".to_owned(), version.into());
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_a_line_itself() {
        let workspace = Workspace::load().unwrap();
        let manifest = read(&workspace.root.join("Cargo.toml")).unwrap();
        let home = home(&manifest).unwrap();
        assert!(MAJORS.contains(&home));
        let own = workspace_version(&manifest).unwrap();
        assert_eq!(
            dependency(&manifest, ADAPTER),
            Some(&*requirement(home, own).unwrap())
        );
        let adapter = read(&workspace.packages[ADAPTER].folder.join("Cargo.toml")).unwrap();
        let version = version(home, own).unwrap();
        assert_eq!(adapter["package"]["version"].as_str(), Some(&*version));
    }

    #[test]
    fn a_line_has_the_major_of_its_wasmtime_and_the_rest_of_this_workspace() {
        assert_eq!(version(43, "0.2.5").unwrap(), "43.2.5");
        assert_eq!(requirement(43, "0.2.5").unwrap(), "~43.2");
        assert!(version(43, "1.0.0").is_err());
    }
}
