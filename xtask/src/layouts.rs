//! `cargo xtask layouts`: two builds of one program, which lay wasmer's archives out differently, on one folder.
//!
//! The layout follows the Cargo features of rkyv, which any crate of a program can turn on. wasmer loads an archive
//! unchecked, so an entry of one build that the other took would be read as something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::process;
use crate::workspace::Workspace;

const PROGRAM: &str = "shared_folder";

/// Turns on rkyv's `unaligned`.
const OTHER_LAYOUT: &str = "xtask/unaligned-archives";

/// What needs wasmer-wasix, which the program does not, and which takes minutes to build once more: features, and the
/// package that has it without any.
const WASIX: [&str; 2] = ["module-cache/wasix", "module-cache-wasmer/wasix"];
const WASIX_PACKAGE: &str = "migration";

/// What is compiled for the second build alone runs for moments: optimizing it takes longer.
const ONCE: [&str; 7] = [
    "rkyv",
    "wasmer",
    "wasmer-compiler",
    "wasmer-compiler-cranelift",
    "wasmer-compiler-singlepass",
    "wasmer-types",
    "wasmer-vm",
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let home = workspace.target.join("layouts");
    let [_, all] = workspace.all_features();
    // As the tests are built, so that there is little to build.
    let plain = build(workspace, &home.join("plain"), &["--features", &all])?;
    let mut features: Vec<&str> = all.split(',').collect();
    features.retain(|feature| !WASIX.contains(feature));
    features.push(OTHER_LAYOUT);
    let features = features.join(",");
    let configs = ONCE.map(|package| format!("profile.dev.package.{package}.opt-level=0"));
    let mut options = vec!["--features", &features, "--exclude", WASIX_PACKAGE];
    options.extend(configs.iter().flat_map(|config| ["--config", config]));
    let unaligned = build(workspace, &home.join("unaligned"), &options)?;
    let folder = tempfile::tempdir()?;
    for (program, expected) in [
        (&plain, "miss"),
        (&unaligned, "miss"),
        (&plain, "hit"),
        (&unaligned, "hit"),
    ] {
        let found = process::capture(Command::new(program).arg(folder.path()))?;
        let found = String::from_utf8_lossy(&found);
        ensure!(
            found.trim() == expected,
            "{}: a {}, where a {expected} was due",
            program.display(),
            found.trim()
        );
    }
    eprintln!("each build missed what the other stored, and found its own");
    Ok(())
}

/// Builds the program and copies it, as the next build takes its place.
fn build(workspace: &Workspace, folder: &Path, options: &[&str]) -> Result<PathBuf> {
    let mut cargo = process::cargo(&workspace.root);
    cargo.args(["build", "--message-format=json-render-diagnostics"]);
    cargo
        .args(["--workspace", "--example", PROGRAM])
        .args(options);
    let programs = process::executables(cargo.stderr(Stdio::inherit()))?;
    let built = programs
        .get(PROGRAM)
        .with_context(|| format!("cargo built no {PROGRAM}"))?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let copy = folder.join(PROGRAM);
    fs::copy(built, &copy).with_context(|| format!("cannot copy {}", built.display()))?;
    Ok(copy)
}
