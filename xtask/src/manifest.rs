//! What the manifests and lock files of a workspace say, as TOML.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use toml::Table;

pub(crate) fn read(path: &Path) -> Result<Table> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.parse()?)
}

/// The version of `[workspace.package]` in the root manifest.
pub(crate) fn workspace_version(root: &Table) -> Result<&str> {
    root.get("workspace")
        .and_then(|workspace| workspace.get("package")?.get("version")?.as_str())
        .context("the root manifest has no version")
}

/// The version of a dependency in `[workspace.dependencies]` of the root manifest.
pub(crate) fn dependency<'m>(root: &'m Table, name: &str) -> Option<&'m str> {
    let dependencies = root.get("workspace")?.get("dependencies")?;
    dependencies.get(name)?.get("version")?.as_str()
}
