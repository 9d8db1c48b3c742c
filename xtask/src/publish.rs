//! `cargo xtask publish`: gives all crates and all release lines to the registry, or does all but that.
//!
//! The order, and that nothing is missing which another crate needs, is cargo's business. The tests of `lines.rs` see to
//! it that the workspace is a line itself.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::workspace::Workspace;
use crate::{lines, manifest, process, toolchain, wasmtimes};

const CHANGELOG: &str = "CHANGELOG.md";

/// What the command takes.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Upload the crates, which cannot be taken back; without it, they are packed and built as if for that
    #[arg(long)]
    execute: bool,
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let manifest = manifest::read(&workspace.root.join("Cargo.toml"))?;
    let version = manifest::workspace_version(&manifest)?;
    let changelog = fs::read_to_string(workspace.root.join(CHANGELOG))
        .with_context(|| format!("cannot read {CHANGELOG}"))?;
    ensure!(
        tells_of(&changelog, version),
        "{CHANGELOG} has no section `## {version}`; give what is unreleased that name and a date"
    );
    let home = lines::home(&manifest)?;
    publish(
        workspace,
        if options.execute { &[] } else { &["--dry-run"] },
    )?;
    for major in lines::MAJORS.filter(|&major| major != home) {
        publish_line(workspace, major, options)
            .with_context(|| format!("the line of wasmtime {major}"))?;
    }
    Ok(())
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

/// Packs the adapter's line of wasmtime `major`, which is built if that wasmtime is tested, too.
fn publish_line(workspace: &Workspace, major: u64, options: Options) -> Result<()> {
    let copy = lines::lay_out(workspace, major)?;
    let rust = wasmtimes::rust_for(major);
    let mut command = match rust {
        Some(rust) => toolchain::cargo_of_at_least(&copy, rust)?,
        None => process::cargo(&copy),
    };
    command
        .args(["publish", "--allow-dirty"])
        .env("CARGO_TARGET_DIR", copy.join("target"));
    if options.execute {
        command.args(["--package", lines::ADAPTER]);
    } else {
        // What the adapter needs is not published yet.
        command.args(["--workspace", "--dry-run"]);
    }
    if rust.is_none() {
        command.arg("--no-verify");
    }
    process::run(&mut command)
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
}
