//! Building for other systems than this one, with or without their standard library in the toolchain.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{debian_rust, process};

/// A cargo `command` that builds for all `targets`, and first their standard library where the toolchain lacks one.
pub(crate) fn cargo_for(workspace: &Workspace, command: &str, targets: &[&str]) -> Result<Command> {
    let mut missing = None;
    for target in targets {
        if !library_folder(&workspace.root, Some(target))?.is_dir() {
            missing = Some(target);
        }
    }
    let mut cargo = process::cargo(&workspace.root);
    cargo.arg(command);
    if let Some(target) = missing {
        debian_rust::ready(target)?;
        cargo = debian_rust::cargo_for_std(&workspace.root);
        cargo.args([command, "-Zbuild-std"]);
    }
    for target in targets {
        cargo.args(["--target", target]);
    }
    Ok(cargo)
}

/// The folder in which the toolchain of `folder` keeps the libraries of `target` (by default, of this machine), whether it has
/// that target or not.
pub(crate) fn library_folder(folder: &Path, target: Option<&str>) -> Result<PathBuf> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(folder).args(["--print", "target-libdir"]);
    if let Some(target) = target {
        rustc.args(["--target", target]);
    }
    let answer = String::from_utf8(process::capture(&mut rustc)?)?;
    Ok(answer.trim_end().into())
}
