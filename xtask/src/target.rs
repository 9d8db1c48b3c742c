//! Building for other systems than this one, with or without their standard library in the toolchain.

use std::process::Command;

use anyhow::Result;

use crate::library_folder::library_folder;
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
