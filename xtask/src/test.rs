//! `cargo xtask test`: the corpus and the servers, then every test of the workspace, doc tests among them.

use std::ffi::OsString;

use anyhow::Result;

use crate::corpus;
use crate::process;
use crate::servers;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handed on to `cargo test --workspace` with all features, for instance a name, or `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    corpus::bring(workspace)?;
    servers::bring(workspace)?;
    process::run(
        process::cargo(&workspace.root)
            .args(["test", "--workspace"])
            .args(workspace.all_features())
            .args(&options.arguments),
    )
}
