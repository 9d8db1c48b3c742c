//! `cargo xtask min-wasmtime`: proves the lower bound of the wasmtime range.
//!
//! Our own lock file has the newest wasmtime that everything here can share. So the wasmtime adapter and
//! the crates of this workspace that it needs are copied into a workspace of their own below the target
//! folder, with a lock file that has the oldest one; there they are built and tested.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::process;
use crate::workspace::Workspace;

/// The last release with the range's lowest major version.
const OLDEST: &str = "36.0.20";

/// The crate whose range it is.
const ADAPTER: &str = "module-cache-wasmtime";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let copy = workspace.target.join("min-wasmtime");
    lay_out(workspace, &copy).with_context(|| format!("cannot prepare {}", copy.display()))?;
    let cargo = || {
        let mut command = process::cargo(&copy);
        command.env("CARGO_TARGET_DIR", copy.join("target"));
        command
    };
    process::run(cargo().args([
        "update",
        "--quiet",
        "--package",
        "wasmtime",
        "--precise",
        OLDEST,
    ]))?;
    // Built rather than checked: the tests need the same build, and compiling wasmtime takes minutes.
    process::run(cargo().args(["build", "--package", ADAPTER, "--all-features"]))?;
    process::run(cargo().args(["test", "--package", ADAPTER, "--all-features"]))
}

/// Writes the smaller workspace to `copy`; what was built there before stays.
fn lay_out(workspace: &Workspace, copy: &Path) -> Result<()> {
    let members = members(workspace)?;
    let manifest: Table = fs::read_to_string(workspace.root.join("Cargo.toml"))?.parse()?;
    check_bound(&manifest)?;
    let old = copy.join("crates");
    if old.exists() {
        fs::remove_dir_all(old)?;
    }
    for name in &members {
        let folder = &workspace.packages[name].folder;
        copy_folder(folder, &copy.join(workspace.relative(folder)))?;
    }
    fs::write(
        copy.join("Cargo.toml"),
        reduce(manifest, &members)?.to_string(),
    )?;
    fs::copy(workspace.root.join("Cargo.lock"), copy.join("Cargo.lock"))
        .context("there is no Cargo.lock to copy")?;
    Ok(())
}

/// The adapter and all members that it needs, for whatever use.
fn members(workspace: &Workspace) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut open = vec![ADAPTER.to_owned()];
    while let Some(name) = open.pop() {
        let package = workspace
            .packages
            .get(&name)
            .with_context(|| format!("{name} is no member of the workspace"))?;
        if found.insert(name) {
            open.extend(package.path_dependencies.iter().cloned());
        }
    }
    Ok(found)
}

/// Fails when the range in the manifest begins elsewhere than the version that is tested here.
fn check_bound(manifest: &Table) -> Result<()> {
    let range = manifest
        .get("workspace")
        .and_then(|workspace| {
            workspace
                .get("dependencies")?
                .get("wasmtime")?
                .get("version")?
                .as_str()
        })
        .context(
            "the root manifest has no `wasmtime = { version = … }` in [workspace.dependencies]",
        )?;
    let major = OLDEST.split('.').next().unwrap_or_default();
    ensure!(
        range
            .split(',')
            .any(|part| part.trim() == format!(">={major}")),
        "the wasmtime range is {range:?}, but {OLDEST} is what min-wasmtime tests; change the one that is wrong"
    );
    Ok(())
}

/// The root manifest with fewer members and without the paths to the others.
fn reduce(mut manifest: Table, members: &BTreeSet<String>) -> Result<Table> {
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
    Ok(manifest)
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

    fn manifest(range: &str) -> Table {
        format!(
            "[workspace]\nmembers = [\"crates/*\", \"xtask\"]\ndefault-members = [\"x\"]\nexclude = [\"y\"]\n\
             [workspace.dependencies]\nanyhow = \"1\"\nmodule-cache-core = {{ path = \"c\" }}\n\
             module-cache-cli = {{ path = \"d\" }}\nwasmtime = {{ version = \"{range}\" }}\n"
        )
        .parse()
        .unwrap()
    }

    #[test]
    fn the_adapter_brings_core_and_not_the_command() {
        let members = members(&Workspace::load().unwrap()).unwrap();
        assert!(members.contains(ADAPTER) && members.contains("module-cache-core"));
        assert!(!members.contains("module-cache-cli") && !members.contains("xtask"));
    }

    #[test]
    fn a_range_that_begins_elsewhere_is_an_error() {
        check_bound(&manifest(">=36, <49")).unwrap();
        let error = check_bound(&manifest(">=37, <49")).unwrap_err();
        assert!(error.to_string().contains(">=37, <49"), "{error}");
    }

    #[test]
    fn the_reduced_manifest_names_only_what_was_copied() {
        let members = BTreeSet::from(["module-cache-core".to_owned()]);
        let reduced = reduce(manifest(">=36, <49"), &members).unwrap();
        let workspace = reduced["workspace"].as_table().unwrap();
        assert_eq!(
            workspace["members"],
            Value::Array(vec!["crates/module-cache-core".into()])
        );
        assert!(!workspace.contains_key("default-members") && !workspace.contains_key("exclude"));
        let names: Vec<_> = workspace["dependencies"]
            .as_table()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, ["anyhow", "module-cache-core", "wasmtime"]);
    }
}
