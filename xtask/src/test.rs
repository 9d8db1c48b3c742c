//! `cargo xtask test`: the corpus, then every test of the workspace, doc tests among them.

use std::ffi::OsString;

use anyhow::Result;

use crate::corpus;
use crate::process;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Handed on to `cargo test --workspace`, for instance a name, or `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    corpus::bring(workspace)?;
    process::run(
        process::cargo(&workspace.root)
            .args(["test", "--workspace"])
            .args(&options.arguments),
    )
}
