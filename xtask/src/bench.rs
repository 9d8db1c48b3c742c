//! `cargo xtask bench`: measures this project beside its floors and its peers, and writes
//! `docs/performance.md` with its plots.

mod goals;
mod machine;
mod measurements;
mod page;
mod plot;
mod programs;
mod sections;
mod text;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{corpus, process, servers};
use measurements::Measurements;
use programs::{PROGRAMS, Program};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Take a look: fewer rounds of fewer cases, in about three minutes
    #[arg(long)]
    quick: bool,
    /// Measure only these, and write to the target folder instead of docs
    #[arg(value_parser = programs::names())]
    names: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let chosen: Vec<_> = PROGRAMS
        .iter()
        .filter(|program| {
            options.names.is_empty() || options.names.iter().any(|name| name == program.name)
        })
        .collect();
    if chosen.iter().any(|program| program.engines) {
        corpus::bring(workspace)?;
        servers::bring(workspace)?;
    }
    let executables = programs::build(workspace, &chosen)?;
    let mut measurements = Measurements::default();
    for (program, executable) in chosen.iter().zip(executables) {
        eprintln!("==> measuring: {}", program.name);
        let found = measure(workspace, program, Command::new(executable), options.quick);
        measurements.extend(found.with_context(|| format!("cannot measure {}", program.name))?);
    }
    // Only a run of all is for others to read.
    let folder = if options.names.is_empty() {
        workspace.root.join("docs")
    } else {
        workspace.target.join("bench")
    };
    let page = page::page(&machine::describe(workspace)?, options.quick, &measurements);
    write(&folder, &page, &measurements)
        .with_context(|| format!("cannot write to {}", folder.display()))
}

/// Writes the page and its pictures.
fn write(folder: &Path, page: &str, measurements: &Measurements) -> Result<()> {
    let pictures = folder.join("performance");
    fs::create_dir_all(&pictures)?;
    for (name, picture) in plot::plots(measurements) {
        fs::write(pictures.join(name), picture)?;
    }
    let place = folder.join("performance.md");
    fs::write(&place, page)?;
    eprintln!("written to {}", place.display());
    Ok(())
}

/// Runs one program and collects what it measured.
fn measure(
    workspace: &Workspace,
    program: &Program,
    mut command: Command,
    quick: bool,
) -> Result<Measurements> {
    let samples = workspace.target.join("bench/criterion");
    // What another program measured, or an earlier run.
    if samples.exists() {
        fs::remove_dir_all(&samples)?;
    }
    command.arg("--bench").env("CRITERION_HOME", &samples);
    if quick {
        command.env("MODULE_CACHE_BENCH_QUICK", "1");
    }
    let output = process::capture(&mut command)?;
    if program.prints {
        Measurements::printed(&String::from_utf8_lossy(&output))
    } else {
        Measurements::sampled(&samples)
    }
}
