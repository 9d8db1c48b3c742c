//! `cargo xtask wasmtimes`: tests the wasmtime adapter with other versions of wasmtime than that of the lock file, each
//! with a Rust that it can be built with.

use anyhow::{Context, Result};

use crate::lines;
use crate::toolchain;
use crate::workspace::Workspace;
use crate::{platforms, process};

/// What is tested: versions of wasmtime, each with a version of Rust. The first is the oldest, with the oldest Rust that
/// it supports.
pub(crate) const TESTED: [(&str, &str); 5] = [
    ("36.0.20", "1.86"),
    ("43.0.2", "1.91"),
    ("48.0.8", "1.95"),
    ("49.0.5", "1.96"),
    ("50.0.1", "1.97"),
];

/// What the command takes.
#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Those of these major versions only, such as 36
    majors: Vec<u64>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    for (wasmtime, rust) in chosen(&options.majors)? {
        test(workspace, wasmtime, rust)
            .with_context(|| format!("wasmtime {wasmtime} with Rust {rust}"))?;
    }
    Ok(())
}

/// The versions of [`TESTED`] that have one of `majors`, or all.
fn chosen(majors: &[u64]) -> Result<Vec<(&'static str, &'static str)>> {
    if majors.is_empty() {
        return Ok(TESTED.to_vec());
    }
    let find = |&major: &u64| {
        of(major).with_context(|| format!("no wasmtime {major} is among those that are tested"))
    };
    majors.iter().map(find).collect()
}

/// The Rust that wasmtime `major` is tested with, if it is.
pub(crate) fn rust_for(major: u64) -> Option<&'static str> {
    of(major).map(|(_, rust)| rust)
}

fn of(wanted: u64) -> Option<(&'static str, &'static str)> {
    let mut tested = TESTED.into_iter();
    tested.find(|(wasmtime, _)| major(wasmtime).ok() == Some(wanted))
}

fn test(workspace: &Workspace, wasmtime: &str, rust: &str) -> Result<()> {
    let copy = lines::lay_out(workspace, major(wasmtime)?)?;
    // Dependencies are chosen as for a user who has no lock file, with versions that support the adapter's Rust.
    process::run(process::cargo(&copy).args(["generate-lockfile", "--quiet"]))?;
    let update = ["update", "--quiet", "--package", "wasmtime", "--precise"];
    process::run(process::cargo(&copy).args(update).arg(wasmtime))?;
    let mut test = toolchain::cargo(&copy, rust)?;
    process::run(
        test.args(["test", "--all-features", "--package", lines::ADAPTER])
            // Optimizing wasmtime takes several times as long as testing with one that is not.
            .args(["--config", platforms::UNOPTIMIZED])
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", copy.join("target")),
    )
}

pub(crate) fn major(version: &str) -> Result<u64> {
    let (major, _) = version.split_once('.').context("a version of one part")?;
    Ok(major.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_and_the_newest_are_tested() {
        let majors = TESTED.map(|(wasmtime, _)| major(wasmtime).unwrap());
        assert_eq!(majors.first(), Some(lines::MAJORS.start()));
        assert_eq!(majors.last(), Some(lines::MAJORS.end()));
    }

    #[test]
    fn one_that_is_not_tested_cannot_be_chosen() {
        assert_eq!(chosen(&[]).unwrap(), TESTED);
        assert_eq!(chosen(&[36]).unwrap(), TESTED[..1]);
        assert!(chosen(&[36, 35]).is_err());
    }
}
