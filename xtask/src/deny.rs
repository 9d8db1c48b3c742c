//! `cargo xtask deny`: whether all dependencies have licences, sources and versions that `deny.toml` allows.
//!
//! What is known against them comes from github.com, which not everybody who runs `cargo xtask ci` can reach: the
//! workflow on GitHub asks for it.

use std::process::Command;

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{installed, process};

const TOOL: &str = "cargo-deny";
const VERSION: &str = "0.20.2";

/// What the command takes.
#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Options {
    /// Look for known vulnerabilities, too, in a list that is fetched from github.com
    #[arg(long)]
    advisories: bool,
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let root = workspace.target.join(format!("tools/{TOOL}-{VERSION}"));
    let programs = installed::ready(&root, TOOL, VERSION, &[TOOL])?;
    let mut check = Command::new(programs.join(TOOL));
    check
        .current_dir(&workspace.root)
        .args(["--locked", "check", "--hide-inclusion-graph"])
        .args(["licenses", "bans", "sources"]);
    if options.advisories {
        check.arg("advisories");
    }
    process::run(&mut check)
}
