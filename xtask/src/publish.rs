//! `cargo xtask publish`: gives all crates to crates.io, or does all but that.
//!
//! The order, and that nothing is missing which another crate needs, is cargo's business. `cargo xtask tidy` sees to
//! it that all have one version and ask for that of each other.

use std::fs;

use anyhow::{Context, Result, ensure};
use toml::Table;

use crate::process;
use crate::workspace::Workspace;

const CHANGELOG: &str = "CHANGELOG.md";

/// What the command takes.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Upload the crates, which cannot be taken back; without it, they are packed and built as if for that
    #[arg(long)]
    execute: bool,
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let manifest: Table = fs::read_to_string(workspace.root.join("Cargo.toml"))?.parse()?;
    let version = version(&manifest).context("the root manifest has no version")?;
    let changelog = fs::read_to_string(workspace.root.join(CHANGELOG))
        .with_context(|| format!("cannot read {CHANGELOG}"))?;
    ensure!(
        tells_of(&changelog, version),
        "{CHANGELOG} has no section `## {version}`; give what is unreleased that name and a date"
    );
    if options.execute {
        publish(workspace, &[])
    } else {
        publish(workspace, &["--dry-run"])
    }
}

/// Packs all crates, and builds none: what cannot be packed cannot be published.
pub(crate) fn pack(workspace: &Workspace) -> Result<()> {
    publish(workspace, &["--dry-run", "--no-verify", "--allow-dirty"])
}

fn publish(workspace: &Workspace, options: &[&str]) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    process::run(
        command
            .args(["publish", "--workspace", "--locked"])
            .args(options),
    )
}

fn version(manifest: &Table) -> Option<&str> {
    manifest
        .get("workspace")?
        .get("package")?
        .get("version")?
        .as_str()
}

/// Whether there is a section on `version`, as in `## 1.0.0 (2026-01-31)`.
fn tells_of(changelog: &str, version: &str) -> bool {
    changelog.lines().any(|line| {
        line.strip_prefix("## ")
            .is_some_and(|title| title.split(' ').next() == Some(version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_section_of_its_own_tells_of_a_version() {
        let changelog = "# Changelog\n\n## Unreleased\n\n## 1.2.30 (2026-01-31)\n\nBetter than 1.2.4.\n\n## 1.2.2\n";
        assert!(tells_of(changelog, "1.2.30") && tells_of(changelog, "1.2.2"));
        assert!(!tells_of(changelog, "1.2.3") && !tells_of(changelog, "1.2.4"));
    }

    #[test]
    fn the_version_is_that_of_the_workspace() {
        let manifest = "[workspace.package]\nversion = \"1.2.3\"\n"
            .parse()
            .unwrap();
        assert_eq!(version(&manifest), Some("1.2.3"));
        assert_eq!(version(&Table::new()), None);
    }
}
