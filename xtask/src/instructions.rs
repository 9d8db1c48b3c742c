//! `cargo xtask instructions`: counts what the paths that matter cost, in instructions, under callgrind.
//!
//! Times on a shared machine differ by more than a regression; instructions hardly differ. So this can
//! fail a change: a path that takes more of them than the committed file allows is an error, and so is one
//! that takes far fewer, so that what was gained is kept.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Write what is counted now to the file, instead of comparing with it
    #[arg(long)]
    update: bool,
}

/// What `module-cache-bench`'s program `instructions` can do.
const PATHS: [&str; 6] = [
    "loader-hit",
    "memory-hit",
    "memory-miss",
    "disk-hit",
    "disk-miss",
    "save",
];

/// How often it does it.
const TIMES: u64 = 100;

const FILE: &str = "crates/module-cache-bench/instructions.toml";

/// The committed file.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Expected {
    /// How far a count may be from what is expected, in percent.
    margin: u64,
    /// Instructions for one call of each path.
    paths: BTreeMap<String, u64>,
}

/// Compares, for `cargo xtask ci`.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    run(workspace, Options { update: false })
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    process::require("valgrind", "--version", "valgrind")?;
    let program = build(workspace)?;
    let mut counted = BTreeMap::new();
    for path in PATHS {
        let count = count(workspace, &program, path)?;
        eprintln!("{count:>8} instructions  {path}");
        counted.insert(path.to_owned(), count);
    }
    let file = workspace.root.join(FILE);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {FILE}"))?;
    let mut expected: Expected =
        toml::from_str(&text).with_context(|| format!("{FILE} is not what it should be"))?;
    if options.update {
        expected.paths = counted;
        let text = format!("{HEAD}{}", toml::to_string(&expected)?);
        return fs::write(&file, text).with_context(|| format!("cannot write {FILE}"));
    }
    let differences = expected.differences(&counted);
    if !differences.is_empty() {
        bail!(
            "{}; if that is as it should be: cargo xtask instructions --update",
            differences.join("; ")
        );
    }
    Ok(())
}

const HEAD: &str = "\
# Instructions for one call of each path, as `cargo xtask instructions --update` counted them. In CI a count that
# is farther away than the margin, in percent, is a failure.
";

impl Expected {
    fn differences(&self, counted: &BTreeMap<String, u64>) -> Vec<String> {
        let mut found = Vec::new();
        for (path, count) in counted {
            let Some(expected) = self.paths.get(path) else {
                found.push(format!("{path} is not in {FILE}"));
                continue;
            };
            if count.abs_diff(*expected) * 100 > expected * self.margin {
                found.push(format!(
                    "{path} takes {count} instructions, and {expected} with a margin of {} % are expected",
                    self.margin
                ));
            }
        }
        found
    }
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = process::cargo(&workspace.root);
    cargo.args(["build", "--release", "--package", "module-cache-bench"]);
    cargo.args([
        "--bin",
        "instructions",
        "--message-format",
        "json-render-diagnostics",
    ]);
    process::executables(cargo.stderr(Stdio::inherit()))?
        .remove("instructions")
        .context("cargo built no program called instructions")
}

/// Instructions for one call.
fn count(workspace: &Workspace, program: &Path, path: &str) -> Result<u64> {
    let report = workspace.target.join(format!("callgrind.{path}"));
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg("--toggle-collect=*measured*")
        .arg(format!("--callgrind-out-file={}", report.display()))
        .arg(program)
        .arg(path);
    process::capture(&mut valgrind)?;
    let report = fs::read_to_string(&report)?;
    let total = total(&report).context("callgrind counted nothing")?;
    Ok(total / TIMES)
}

/// What callgrind says at the end of its report.
fn total(report: &str) -> Option<u64> {
    let totals = report
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))?;
    totals.trim().parse().ok().filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected() -> Expected {
        Expected {
            margin: 5,
            paths: [("hit".to_owned(), 1000)].into(),
        }
    }

    #[test]
    fn more_and_fewer_instructions_than_the_margin_allows_are_differences() {
        for (count, differs) in [(1000, false), (1050, false), (1051, true), (949, true)] {
            let counted = [("hit".to_owned(), count)].into();
            assert_eq!(
                !expected().differences(&counted).is_empty(),
                differs,
                "{count}"
            );
        }
    }

    #[test]
    fn a_path_that_nothing_is_expected_of_is_a_difference() {
        let counted = [("save".to_owned(), 1)].into();
        assert_eq!(expected().differences(&counted).len(), 1);
    }

    #[test]
    fn a_report_ends_with_a_total() {
        assert_eq!(total("version: 1\nfn=x\n1 2\ntotals: 4200\n"), Some(4200));
        assert_eq!(total("version: 1\ntotals: 0\n"), None);
    }

    #[test]
    fn the_committed_file_has_every_path() {
        let workspace = Workspace::load().unwrap();
        let text = fs::read_to_string(workspace.root.join(FILE)).unwrap();
        let expected: Expected = toml::from_str(&text).unwrap();
        let paths: Vec<_> = expected.paths.keys().map(String::as_str).collect();
        let mut all = PATHS;
        all.sort_unstable();
        assert_eq!(paths, all);
    }
}
