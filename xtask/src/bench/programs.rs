//! The programs that measure, and how they are built.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;

use crate::process;
use crate::workspace::Workspace;

/// A benchmark of `module-cache-bench`.
pub(super) struct Program {
    /// Of the program, and what it is called on the command line.
    pub(super) name: &'static str,
    /// Whether it needs real engines or servers; those that do not build in a minute.
    pub(super) engines: bool,
    /// Whether it prints values, rather than having criterion take samples.
    pub(super) prints: bool,
}

pub(super) const PROGRAMS: [Program; 15] = [
    Program::sampled("memory_hit", false),
    Program::printing("eviction", false),
    Program::sampled("disk_hit", true),
    Program::sampled("wasmer", true),
    Program::sampled("save", true),
    Program::printing("compile", true),
    Program::printing("levels", true),
    Program::printing("tiers", true),
    Program::printing("herd", true),
    Program::sampled("remote_hit", true),
    Program::sampled("cli", true),
    Program::sampled("growth", false),
    Program::printing("prune", false),
    Program::sampled("hashing", false),
    Program::sampled("verify", false),
];

impl Program {
    const fn sampled(name: &'static str, engines: bool) -> Self {
        Self {
            name,
            engines,
            prints: false,
        }
    }

    const fn printing(name: &'static str, engines: bool) -> Self {
        Self {
            name,
            engines,
            prints: true,
        }
    }
}

pub(super) fn names() -> PossibleValuesParser {
    PROGRAMS.map(|program| program.name).into()
}

/// Builds them, all in one go so that they share their engines, and returns where each is.
pub(super) fn build(workspace: &Workspace, programs: &[&Program]) -> Result<Vec<PathBuf>> {
    let mut cargo = process::cargo(&workspace.root);
    cargo.args(["build", "--release", "--package", "module-cache-bench"]);
    for program in programs {
        cargo.args(["--bench", program.name]);
    }
    if programs.iter().any(|program| program.engines) {
        // Always with the command that one of them runs: by itself, each would have engines of its own built.
        cargo.args(["--package", "module-cache-cli", "--bin", "module-cache"]);
        cargo.args(["--features", "module-cache-bench/engines"]);
    }
    cargo.args(["--message-format", "json-render-diagnostics"]);
    eprintln!("==> building");
    let mut built = process::executables(cargo.stderr(Stdio::inherit()))?;
    programs
        .iter()
        .map(|program| {
            let executable = built.remove(program.name);
            executable.with_context(|| format!("cargo built no program called {}", program.name))
        })
        .collect()
}
