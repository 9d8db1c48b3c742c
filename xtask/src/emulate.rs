//! `cargo xtask emulate`: the tests of aarch64 Linux under qemu and those of Windows under wine, and code that this machine
//! compiles for the former. What is missing is installed first; what is built stays in the target folder.

mod aarch64;
mod windows;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::target::cargo_for;
use crate::workspace::Workspace;
use crate::{debian, process};

/// Crates without engines, which each system runs.
const LIGHT: [&str; 6] = [
    "module-cache-core",
    "module-cache-fallback",
    "module-cache-filesystem",
    "module-cache-loader",
    "module-cache-memory",
    "module-cache-testkit",
];

/// A system and what stands in for it.
struct System {
    target: &'static str,
    /// Debian packages, each with a program of it.
    packages: &'static [(&'static str, &'static str)],
    /// For cargo and the build scripts.
    environment: &'static [(&'static str, &'static str)],
    /// Which are run beside [`LIGHT`].
    crates: &'static [&'static str],
    /// What the emulator cannot judge, and why: the beginning of a test's name, behind `crate/program::`.
    left_out: &'static [(&'static str, &'static str)],
    /// Makes what the emulator needs in a folder of its own.
    prepare: fn(&Path) -> Result<()>,
    /// What starts a program with arguments, by an emulator that was prepared in this folder.
    command: fn(&Path, &Path, &[&str]) -> Command,
    /// Runs that, and collects what it says.
    run: fn(&mut Command) -> Result<Output>,
}

/// How the tests of one crate went.
struct Count {
    name: String,
    passed: u64,
    failed: u64,
    took: Duration,
}

/// A program that cargo built.
struct Program {
    name: String,
    path: PathBuf,
    /// Of its package.
    folder: PathBuf,
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let home = workspace.target.join("emulate");
    fs::create_dir_all(&home)?;
    let mut report = String::new();
    let mut failed = 0;
    for system in [&aarch64::SYSTEM, &windows::SYSTEM] {
        ready(system)?;
        (system.prepare)(&home)?;
        let programs = build(workspace, system, &["test", "--no-run", "--tests"])?;
        writeln!(report, "{}", system.target)?;
        for name in LIGHT.iter().chain(system.crates) {
            let folder = &workspace.packages[*name].folder;
            let programs = programs.iter();
            let programs = programs.filter(|program| program.folder == *folder);
            let count = test(system, &home, name, programs)?;
            writeln!(report, "{count}")?;
            failed += count.failed;
        }
    }
    eprint!("{report}");
    ensure!(failed == 0, "{failed} tests failed");
    aarch64::other_machine(workspace)
}

impl std::fmt::Display for Count {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            passed,
            failed,
            took,
        } = self;
        let took = took.as_secs_f64();
        write!(
            out,
            "{took:>8.1} s  {passed:>4} passed  {failed:>2} failed  {name}"
        )
    }
}

fn ready(system: &System) -> Result<()> {
    let missing: Vec<_> = system
        .packages
        .iter()
        .filter(|(_, program)| !Path::new(program).exists())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    debian::install(&missing)
}

/// Runs the programs of a crate's tests one after the other.
fn test<'p>(
    system: &System,
    home: &Path,
    name: &str,
    programs: impl Iterator<Item = &'p Program>,
) -> Result<Count> {
    let began = Instant::now();
    let mut count = Count {
        name: name.to_owned(),
        passed: 0,
        failed: 0,
        took: Duration::ZERO,
    };
    for Program {
        name: program,
        path,
        folder,
        ..
    } in programs
    {
        let tests = |(test, _): &'static (&'static str, _)| {
            test.strip_prefix(name)?
                .strip_prefix('/')?
                .strip_prefix(program.as_str())?
                .strip_prefix("::")
        };
        let left_out = system.left_out.iter().filter_map(tests);
        let arguments: Vec<_> = left_out.flat_map(|test| ["--skip", test]).collect();
        let mut command = (system.command)(home, path, &arguments);
        let output = (system.run)(command.current_dir(folder))
            .with_context(|| format!("cannot run {program} of {name}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        // Children print such lines too, but before.
        let result = said
            .lines()
            .rev()
            .find(|line| line.starts_with("test result: "));
        let (passed, failed) = result.map_or((0, 0), |line| {
            (
                number_before(line, " passed"),
                number_before(line, " failed"),
            )
        });
        eprintln!("    {name} {program}: {passed} passed, {failed} failed");
        if !output.status.success() {
            eprintln!("{said}{}", String::from_utf8_lossy(&output.stderr));
        }
        count.passed += passed;
        // One that ends without a result has failed, too.
        count.failed += failed.max(u64::from(!output.status.success()));
    }
    count.took = began.elapsed();
    Ok(count)
}

fn number_before(line: &str, word: &str) -> u64 {
    let before = line.split(word).next().unwrap_or_default();
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Runs a command of cargo for the crates of a system with all features, at once, so that they share what they depend on.
fn build(workspace: &Workspace, system: &System, command: &[&str]) -> Result<Vec<Program>> {
    let mut cargo = cargo_for(workspace, command[0], &[system.target])?;
    cargo.args(&command[1..]);
    cargo.arg("--message-format=json-render-diagnostics");
    for name in LIGHT.iter().chain(system.crates) {
        cargo.args(["--package", name]);
    }
    cargo.arg("--all-features");
    cargo.envs(system.environment.iter().copied());
    let said = process::capture(cargo.stderr(Stdio::inherit()))?;
    let mut programs = Vec::new();
    for message in String::from_utf8(said)?.lines() {
        let message: Value = serde_json::from_str(message)?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let target = &message["target"];
        if let (Some(name), Some(path), Some(manifest)) = (
            text(&target["name"]),
            text(&message["executable"]),
            text(&message["manifest_path"]),
        ) {
            let folder = Path::new(&manifest).parent();
            programs.push(Program {
                name,
                path: path.into(),
                folder: folder.context("a manifest without a folder")?.into(),
            });
        }
    }
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_results_is_read() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 4 filtered out";
        assert_eq!(
            (
                number_before(line, " passed"),
                number_before(line, " failed")
            ),
            (12, 3)
        );
    }
}
