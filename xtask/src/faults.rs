//! `cargo xtask faults`: does to the cache's folder what systems, disks and power supplies do, at every place.
//!
//! What it does is a program of the filesystem crate, `fault_subject`, whose system calls are killed or failed one after
//! the other. After each, that program checks all that is promised of a folder.

mod calls;
mod clocks;
mod image;
mod power;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Options {
    /// Only what takes under three minutes: two errors, no loss of power, and nothing is written to the page
    #[arg(long)]
    quick: bool,
}

/// The page that keeps what was tried.
const PAGE: &str = "docs/reliability.md";

const BEGIN: &str = "<!-- cargo xtask faults -->\n";

/// What was done to one operation, how often, and what of it broke a promise.
struct Row {
    what: String,
    tried: u64,
    broken: Vec<String>,
}

/// The quick part, for `cargo xtask ci`.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    run(workspace, Options { quick: true })
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let user = process::capture(Command::new("id").arg("-u"))?;
    ensure!(
        user.trim_ascii() == b"0",
        "it mounts file systems: run it as root, as in a container"
    );
    process::require("strace", "--version", "strace")?;
    let subject = Subject::build(workspace)?;
    let scratch = image::Scratch::new()?;
    let mut rows = calls::run(&subject, scratch.path(), options.quick)?;
    rows.extend(clocks::run(&subject, scratch.path())?);
    if !options.quick {
        rows.extend(power::run(&subject, scratch.path())?);
    }
    let table = table(&rows);
    println!("{table}");
    if !options.quick {
        write_page(&workspace.root.join(PAGE), &table)?;
    }
    let broken: Vec<_> = rows.iter().flat_map(|row| &row.broken).collect();
    for what in &broken {
        eprintln!("{what}");
    }
    ensure!(broken.is_empty(), "{} promises broken", broken.len());
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let line = |what: &str, tried: u64, broken: usize| format!("| {what} | {tried} | {broken} |\n");
    let mut table =
        String::from("| operation and fault | injected | promises broken |\n|---|--:|--:|\n");
    for row in rows {
        table += &line(&row.what, row.tried, row.broken.len());
    }
    let tried = rows.iter().map(|row| row.tried).sum();
    let broken = rows.iter().map(|row| row.broken.len()).sum();
    table + &line("all", tried, broken)
}

fn write_page(page: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(page)?;
    let Some((before, rest)) = text.split_once(BEGIN) else {
        bail!("{} has no place for the table", page.display());
    };
    let after = rest.find("\n\n").map_or("", |at| &rest[at + 1..]);
    fs::write(page, format!("{before}{BEGIN}\n{table}{after}"))?;
    Ok(())
}

/// The program that does something to a folder, and checks it.
struct Subject {
    program: PathBuf,
}

impl Subject {
    fn build(workspace: &Workspace) -> Result<Self> {
        let mut build = process::cargo(&workspace.root);
        build.args(["build", "--package", "module-cache-filesystem"]);
        build.args([
            "--features",
            "bundle",
            "--example",
            "fault_subject",
            "--message-format",
            "json",
        ]);
        let mut built = process::executables(&mut build)?;
        let Some(program) = built.remove("fault_subject") else {
            bail!("cargo did not say where fault_subject is");
        };
        Ok(Self { program })
    }

    /// Runs a command of it that must succeed, and says what is wrong otherwise.
    fn ask(&self, root: &Path, command: &str) -> Result<Option<String>> {
        let output = Command::new(&self.program)
            .arg(root)
            .arg(command)
            .output()?;
        if output.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said
            .lines()
            .find(|line| !line.is_empty() && !line.starts_with("thread"));
        Ok(Some(line.unwrap_or("it failed").to_owned()))
    }

    fn prepare(&self, root: &Path, command: &str) -> Result<()> {
        match self.ask(root, command)? {
            None => Ok(()),
            Some(why) => bail!("{command}: {why}"),
        }
    }
}
