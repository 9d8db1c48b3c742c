//! `cargo xtask test`: the corpus and the servers, then every test of the workspace, doc tests among them; or the
//! tests that need neither, and so run wherever Rust does.

use std::ffi::OsString;

use anyhow::Result;

use crate::corpus;
use crate::process;
use crate::servers;
use crate::workspace::Workspace;

/// Packages whose tests need nothing but Rust.
const PORTABLE: [&str; 9] = [
    "custom-backend",
    "module-cache-core",
    "module-cache-fallback",
    "module-cache-filesystem",
    "module-cache-loader",
    "module-cache-memory",
    "module-cache-testkit",
    "module-cache-wasmtime",
    "plugin-host",
];

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs neither the corpus nor servers
    #[arg(long)]
    portable: bool,
    /// Handed on to `cargo test` with all features, for instance a name, or `-- --nocapture`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut test = process::cargo(&workspace.root);
    test.arg("test");
    if options.portable {
        test.args(PORTABLE.map(|name| format!("--package={name}")));
        test.arg("--all-features");
    } else {
        corpus::bring(workspace)?;
        servers::bring(workspace)?;
        test.arg("--workspace").args(workspace.all_features());
    }
    process::run(test.args(&options.arguments))
}
