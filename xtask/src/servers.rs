//! `cargo xtask servers`: the S3 server that tests of remote caches talk to, in `<target>/servers/`.
//!
//! It is a Python package at a pinned version; the tests start and stop it. Redis and the OCI registry come from the system.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::workspace::Workspace;

/// The S3 server, and what its front end needs.
const PACKAGES: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];

/// Makes sure that the servers are there and start.
pub(crate) fn bring(workspace: &Workspace) -> Result<()> {
    for server in ["redis-server", "docker-registry"] {
        process::require(server, "--version", server)?;
    }
    let folder = workspace.target.join("servers/python");
    if !works(&folder) {
        install(&folder)?;
    }
    eprintln!("the S3 server is in {}", folder.display());
    Ok(())
}

/// Whether what is there is whole, and of this version.
fn works(folder: &Path) -> bool {
    let (name, version) = PACKAGES[0].split_once("[s3]==").unwrap_or_default();
    let check = format!("import {name}, {name}.server; assert {name}.__version__ == '{version}'");
    let mut command = Command::new("python3");
    command.args(["-c", &check]).env("PYTHONPATH", folder);
    process::capture(&mut command).is_ok()
}

fn install(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .arg("--target")
        .arg(folder)
        .args(PACKAGES);
    process::run(&mut command).context(
        "cannot install the S3 server: see whether the package registry can be reached from here, and whether there \
         is pip (on Debian: apt-get install python3-pip)",
    )
}
