//! `cargo xtask bench`: measures this project beside baselines and peers, prints all results, and writes
//! `docs/performance.md` with its pictures.

mod machine;
mod measurements;
mod page;
mod plot;
mod programs;
mod results;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::workspace::Workspace;
use crate::{corpus, process, servers};
use measurements::Measurements;
use programs::{PROGRAMS, Program};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Take a look: fewer rounds of fewer cases, in about three minutes, and no page
    #[arg(long)]
    quick: bool,
    /// Measure only these, and write no page
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
    print!("{}", results::text(&measurements));
    // Only a whole run is for others to read.
    if options.quick || !options.names.is_empty() {
        return Ok(());
    }
    let folder = workspace.root.join("docs");
    let page = page::page(&machine::describe(workspace)?, &measurements);
    write(&folder, &page, &measurements)
        .with_context(|| format!("cannot write to {}", folder.display()))
}

/// Writes the page and its pictures.
fn write(folder: &Path, page: &str, measurements: &Measurements) -> Result<()> {
    let pictures = folder.join("performance");
    fs::create_dir_all(&pictures)?;
    for picture in &plot::PICTURES {
        let drawn = plot::draw(picture, measurements).map_err(|error| anyhow!("{error}"))?;
        if let Some(drawn) = drawn {
            fs::write(pictures.join(picture.file).with_extension("svg"), drawn)?;
        }
    }
    fs::write(folder.join("performance.md"), page)?;
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
