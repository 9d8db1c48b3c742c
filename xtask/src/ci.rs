//! `cargo xtask ci`: everything that has to pass, one announced step after the other.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace::{BUILT_ELSEWHERE, Workspace};
use crate::{
    browser, corpus, deny, dependencies, emulate, faults, fleet, installed, instructions, layouts,
    one_wasmtime, platforms, process, publish, servers, tidy, versions, wasmers, wasmtimes,
};

/// Not a member of the workspace, because fuzzing needs another toolchain to run; it still has to compile.
const FUZZ_MANIFEST: &str = "crates/module-cache-core/fuzz/Cargo.toml";

/// Not a member of the workspace, because it needs crates that nothing else does. A page shows its code.
const COSMWASM_MANIFEST: &str = "examples/migration/cosmwasm-vm/Cargo.toml";

type Step = (&'static str, fn(&Workspace) -> Result<()>);

/// With each change.
const STEPS: [Step; 18] = [
    ("format", format),
    ("clippy", clippy),
    ("corpus", |workspace| corpus::bring(workspace).map(drop)),
    ("servers", servers::bring),
    ("tests", tests),
    ("layouts of archives", layouts::run),
    ("each feature alone, without engines", features_of_storages),
    ("faults", faults::check),
    ("fleet", fleet::check),
    ("documentation", documentation),
    ("fuzz targets", fuzz_targets),
    ("instructions", instructions::check),
    ("browser", |workspace| {
        browser::run(workspace, browser::Options::default())
    }),
    ("dependencies", dependencies::compare),
    ("packages", publish::pack),
    ("one wasmtime", |workspace| {
        one_wasmtime::run(workspace, one_wasmtime::Options { build: false })
    }),
    ("versions", versions::compare),
    ("tidy", tidy::run),
];

/// What takes minutes and seldom finds something.
const WEEKLY: [Step; 9] = [
    ("faults and loss of power", |workspace| {
        faults::run(workspace, faults::Options::default())
    }),
    ("each feature alone, with engines", features_of_engines),
    ("migration from cosmwasm-vm", migration_from_cosmwasm),
    ("other versions of wasmtime", |workspace| {
        wasmtimes::run(workspace, &wasmtimes::Options::default())
    }),
    ("other versions of wasmer", wasmers::run),
    ("oldest wasmtime with the oldest Rust", |workspace| {
        one_wasmtime::run(workspace, one_wasmtime::Options { build: true })
    }),
    ("platforms", platforms::run),
    ("emulated systems", emulate::run),
    ("licences", |workspace| {
        deny::run(workspace, deny::Options::default())
    }),
];

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run what takes minutes and seldom finds something, too
    #[arg(long)]
    weekly: bool,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let weekly = if options.weekly { &WEEKLY[..] } else { &[] };
    run_steps(workspace, &[&STEPS, weekly].concat())
}

fn run_steps(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let mut passed: Vec<(&str, Duration)> = Vec::new();
    for (number, (name, step)) in steps.iter().enumerate() {
        eprintln!("==> {}/{} {name}", number + 1, steps.len());
        let start = Instant::now();
        let result = step(workspace);
        if result.is_err() {
            summarize(&passed);
            eprintln!("{:>8.1} s  {name}: FAILED", start.elapsed().as_secs_f64());
        }
        result.with_context(|| {
            format!(
                "ci stopped at step {} of {}, {name}",
                number + 1,
                steps.len()
            )
        })?;
        passed.push((name, start.elapsed()));
    }
    summarize(&passed);
    let total: Duration = passed.iter().map(|(_, took)| *took).sum();
    eprintln!(
        "{:>8.1} s  all {} steps passed",
        total.as_secs_f64(),
        steps.len()
    );
    Ok(())
}

fn summarize(passed: &[(&str, Duration)]) {
    eprintln!("==> summary");
    for (name, took) in passed {
        eprintln!("{:>8.1} s  {name}", took.as_secs_f64());
    }
}

fn format(workspace: &Workspace) -> Result<()> {
    process::run(process::cargo(&workspace.root).args(["fmt", "--all", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    command.args(["clippy", "--workspace", "--all-targets"]);
    process::run(
        command
            .args(workspace.all_features())
            .args(["--", "-D", "warnings"]),
    )
}

fn tests(workspace: &Workspace) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    process::run(
        command
            .args(["test", "--workspace"])
            .args(workspace.all_features()),
    )
}

/// Says at compile time, without a feature, that it needs one.
const NEEDS_A_FEATURE: &str = "module-cache-wasmer";

const HACK: &str = "cargo-hack";
const HACK_VERSION: &str = "0.6.46";

/// What has features of its own and builds no engine: from nothing, the others take a quarter of an hour.
const WITHOUT_ENGINES: [&str; 2] = ["module-cache-loader", "module-cache-remote"];

fn features_of_storages(workspace: &Workspace) -> Result<()> {
    let packages = WITHOUT_ENGINES.map(|package| ["--package", package]);
    each_feature(workspace, packages.as_flattened())
}

fn features_of_engines(workspace: &Workspace) -> Result<()> {
    let apart = WITHOUT_ENGINES.map(|package| ["--exclude", package]);
    let mut others = vec!["--workspace", "--exclude", NEEDS_A_FEATURE];
    others.extend(apart.as_flattened());
    each_feature(workspace, &others)?;
    let elsewhere = BUILT_ELSEWHERE.map(|(_, feature)| feature).join(",");
    each_feature(
        workspace,
        &[
            "--package",
            NEEDS_A_FEATURE,
            "--exclude-no-default-features",
            "--exclude-features",
            &elsewhere,
        ],
    )
}

/// Checks packages without features and with each single one: all features together hide what is missing, or left
/// over, where they are apart.
fn each_feature(workspace: &Workspace, choice: &[&str]) -> Result<()> {
    let root = workspace
        .target
        .join(format!("tools/{HACK}-{HACK_VERSION}"));
    let programs = installed::ready(&root, HACK, HACK_VERSION, &[HACK])?;
    let mut command = Command::new(programs.join(HACK));
    command.current_dir(&workspace.root);
    // With clippy and not with `cargo check`, which would let warnings pass.
    command.args(["hack", "clippy", "--quiet", "--each-feature"]);
    command.arg("--exclude-all-features");
    process::run(command.args(choice).args(["--", "-D", "warnings"]))
}

fn documentation(workspace: &Workspace) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    process::run(
        command
            .args(["doc", "--workspace", "--no-deps"])
            .args(workspace.all_features())
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

fn fuzz_targets(workspace: &Workspace) -> Result<()> {
    check_outside(workspace, FUZZ_MANIFEST, "fuzz")
}

fn migration_from_cosmwasm(workspace: &Workspace) -> Result<()> {
    check_outside(workspace, COSMWASM_MANIFEST, "migration-cosmwasm-vm")
}

/// Checks a package that is no member of the workspace, with a target folder of its own.
fn check_outside(workspace: &Workspace, manifest: &str, target: &str) -> Result<()> {
    ensure!(
        workspace.root.join(manifest).is_file(),
        "there is no {manifest}; it is no member of the workspace and has to compile all the same"
    );
    let mut command = process::cargo(&workspace.root);
    process::run(
        command
            .args(["check", "--manifest-path", manifest])
            .env("CARGO_TARGET_DIR", workspace.target.join(target)),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use anyhow::bail;

    use super::*;

    fn nowhere() -> Workspace {
        Workspace {
            root: "/nowhere".into(),
            target: "/nowhere/target".into(),
            packages: BTreeMap::new(),
        }
    }

    #[test]
    fn the_first_failure_stops_the_run_and_is_named() {
        let steps: [Step; 3] = [
            ("first", |_| Ok(())),
            ("second", |_| bail!("broken")),
            ("third", |_| unreachable!("the second failed")),
        ];
        let error = run_steps(&nowhere(), &steps).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "ci stopped at step 2 of 3, second: broken"
        );
    }

    #[test]
    fn a_missing_package_outside_of_the_workspace_is_an_error() {
        for (step, manifest) in [
            (fuzz_targets as fn(&Workspace) -> Result<()>, FUZZ_MANIFEST),
            (migration_from_cosmwasm, COSMWASM_MANIFEST),
        ] {
            let error = step(&nowhere()).unwrap_err();
            assert!(error.to_string().contains(manifest), "{error}");
        }
    }
}
