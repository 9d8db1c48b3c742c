//! A crate of this workspace, and the crates that it needs, in a workspace of their own with other versions of dependencies.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::manifest;
use crate::workspace::Workspace;

/// Copies `name` and what it and its tests need to the folder `copy`, without a lock file, and asks for these versions of
/// dependencies there. What was built there before stays.
pub(crate) fn write(
    workspace: &Workspace,
    name: &str,
    copy: &Path,
    versions: &[(&str, &str)],
) -> Result<()> {
    let members = workspace.closure(name, |package| &package.path_dependencies)?;
    let manifest = manifest::read(&workspace.root.join("Cargo.toml"))?;
    let old = copy.join("crates");
    if old.exists() {
        fs::remove_dir_all(old)?;
    }
    for name in &members {
        let folder = &workspace.packages[name].folder;
        copy_folder(folder, &copy.join(workspace.relative(folder)))?;
    }
    let manifest = reduce(manifest, &members, versions)?;
    fs::write(copy.join("Cargo.toml"), manifest.to_string())?;
    // Ours has the versions of this workspace, and would be mended rather than made: what a user gets is the newest.
    let _ = fs::remove_file(copy.join("Cargo.lock"));
    Ok(())
}

/// The root manifest with fewer members, without the paths to the others, and with these versions of dependencies.
fn reduce(
    mut manifest: Table,
    members: &BTreeSet<String>,
    versions: &[(&str, &str)],
) -> Result<Table> {
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
    for (name, version) in versions {
        let dependency = dependencies
            .get_mut(*name)
            .with_context(|| format!("no dependency {name}"))?;
        match dependency.as_table_mut() {
            Some(table) => drop(table.insert("version".to_owned(), (*version).into())),
            None => *dependency = (*version).into(),
        }
    }
    Ok(manifest)
}

/// Copies a folder with all that is in it, but what is no part of a crate.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
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
    use crate::lines::ADAPTER;
    use crate::manifest::dependency;

    #[test]
    fn the_reduced_manifest_has_only_what_was_copied_and_the_versions_that_were_asked_for() {
        let manifest = "[workspace]\nmembers = [\"crates/*\"]\ndefault-members = [\"x\"]\nexclude = [\"y\"]\n\
             [workspace.package]\nversion = \"0.1.0\"\n\
             [workspace.dependencies]\nanyhow = \"1\"\nmodule-cache-core = { path = \"c\" }\n\
             module-cache-cli = { path = \"d\" }\nwasmtime = { version = \"47\" }\n\
             module-cache-wasmtime = { path = \"e\", version = \"~47.1\" }\n";
        let members = ["module-cache-core", ADAPTER].map(str::to_owned).into();
        let versions = [("anyhow", "=1.0.1"), ("wasmtime", "36"), (ADAPTER, "~36.1")];
        let reduced = reduce(manifest.parse().unwrap(), &members, &versions).unwrap();
        assert!(reduce(reduced.clone(), &members, &[("none", "1")]).is_err());
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
        let dependencies = workspace["dependencies"].as_table().unwrap();
        let mut names: Vec<_> = dependencies.keys().collect();
        // Another crate may have this parser keep the order.
        names.sort();
        assert_eq!(names, ["anyhow", "module-cache-core", ADAPTER, "wasmtime"]);
        assert_eq!(dependencies["anyhow"].as_str(), Some("=1.0.1"));
        assert_eq!(dependency(&reduced, "wasmtime"), Some("36"));
        assert_eq!(dependency(&reduced, ADAPTER), Some("~36.1"));
    }
}
