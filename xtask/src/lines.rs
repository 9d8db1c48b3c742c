//! The release lines of the wasmtime adapter: one for each major version of wasmtime, all made of one source.
//!
//! The workspace is the line that [`home`] names. Another line is the adapter, and the crates of this workspace that it
//! needs, copied into a workspace of their own below the target folder, with another version and another wasmtime.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::process;
use crate::workspace::Workspace;

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
    let members = workspace.closure(ADAPTER, |package| &package.path_dependencies)?;
    let manifest = read(&workspace.root.join("Cargo.toml"))?;
    let old = copy.join("crates");
    if old.exists() {
        fs::remove_dir_all(old)?;
    }
    for name in &members {
        let folder = &workspace.packages[name].folder;
        copy_folder(folder, &copy.join(workspace.relative(folder)))?;
    }
    let adapter = copy.join(format!("crates/{ADAPTER}/Cargo.toml"));
    let version = version(major, workspace_version(&manifest)?)?;
    fs::write(
        &adapter,
        with_version(read(&adapter)?, &version)?.to_string(),
    )?;
    let manifest = reduce(manifest, &members, major)?;
    fs::write(copy.join("Cargo.toml"), manifest.to_string())?;
    // Ours has the versions of this workspace, and would be mended rather than made: what a user gets is the newest.
    let _ = fs::remove_file(copy.join("Cargo.lock"));
    Ok(())
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

/// The root manifest with fewer members, without the paths to the others, and with another wasmtime.
fn reduce(mut manifest: Table, members: &BTreeSet<String>, major: u64) -> Result<Table> {
    let requirement = requirement(major, workspace_version(&manifest)?)?;
    let workspace = manifest
        .get_mut("workspace")
        .and_then(Value::as_table_mut)
        .context("no [workspace]")?;
    let list = members
        .iter()
        .map(|name| Value::from(format!("crates/{name}")))
        .collect();
    workspace.insert("members".to_owned(), Value::Array(list));
    workspace.remove("default-members");
    workspace.remove("exclude");
    let dependencies = workspace
        .get_mut("dependencies")
        .and_then(Value::as_table_mut)
        .context("no dependencies")?;
    dependencies
        .retain(|name, dependency| dependency.get("path").is_none() || members.contains(name));
    for (name, version) in [
        ("wasmtime", major.to_string()),
        ("wasmtime-environ", major.to_string()),
        (ADAPTER, requirement),
    ] {
        dependencies
            .get_mut(name)
            .and_then(Value::as_table_mut)
            .with_context(|| format!("no dependency {name}"))?
            .insert("version".to_owned(), version.into());
    }
    Ok(manifest)
}

/// The version of `[workspace.package]`.
pub(crate) fn workspace_version(manifest: &Table) -> Result<&str> {
    manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("package")?.get("version")?.as_str())
        .context("the root manifest has no version")
}

fn dependency<'m>(manifest: &'m Table, name: &str) -> Option<&'m str> {
    let dependencies = manifest.get("workspace")?.get("dependencies")?;
    dependencies.get(name)?.get("version")?.as_str()
}

pub(crate) fn read(manifest: &Path) -> Result<Table> {
    let text = fs::read_to_string(manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    Ok(text.parse()?)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        // A fuzz crate is a workspace of its own, and a target folder is large and of no use.
        if entry.file_name() == OsStr::new("target") || entry.file_name() == OsStr::new("fuzz") {
            continue;
        }
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), &place)
                .with_context(|| format!("cannot copy {}", entry.path().display()))?;
        }
    }
    Ok(())
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

    #[test]
    fn the_reduced_manifest_has_only_what_was_copied_and_the_wasmtime_of_the_line() {
        let manifest = "[workspace]\nmembers = [\"crates/*\"]\ndefault-members = [\"x\"]\nexclude = [\"y\"]\n\
             [workspace.package]\nversion = \"0.1.0\"\n\
             [workspace.dependencies]\nanyhow = \"1\"\nmodule-cache-core = { path = \"c\" }\n\
             module-cache-cli = { path = \"d\" }\nwasmtime = { version = \"47\" }\n\
             wasmtime-environ = { version = \"47\" }\n\
             module-cache-wasmtime = { path = \"e\", version = \"~47.1\" }\n";
        let members = ["module-cache-core", ADAPTER].map(str::to_owned).into();
        let reduced = reduce(manifest.parse().unwrap(), &members, 36).unwrap();
        let workspace = reduced["workspace"].as_table().unwrap();
        assert_eq!(
            workspace["members"],
            Value::Array(
                members
                    .iter()
                    .map(|name| format!("crates/{name}").into())
                    .collect()
            )
        );
        assert!(!workspace.contains_key("default-members") && !workspace.contains_key("exclude"));
        let names: Vec<_> = workspace["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .collect();
        assert_eq!(
            names,
            [
                "anyhow",
                "module-cache-core",
                ADAPTER,
                "wasmtime",
                "wasmtime-environ"
            ]
        );
        assert_eq!(dependency(&reduced, "wasmtime-environ"), Some("36"));
        assert_eq!(dependency(&reduced, "wasmtime"), Some("36"));
        assert_eq!(dependency(&reduced, ADAPTER), Some("~36.1"));
    }
}
