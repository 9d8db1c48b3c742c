//! `cargo xtask ci`: everything that has to pass, one announced step after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, is_built_here};
use crate::{
    browser, corpus, deny, dependencies, instructions, min_wasmtime, platforms, process, publish,
    servers, tidy,
};

/// Not a member of the workspace, because fuzzing needs another toolchain to run; it still has to compile.
const FUZZ_MANIFEST: &str = "crates/module-cache-core/fuzz/Cargo.toml";

/// Not a member of the workspace, because it needs crates that nothing else does. A page shows its code.
const COSMWASM_MANIFEST: &str = "examples/migration/cosmwasm-vm/Cargo.toml";

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: [Step; 17] = [
    ("format", format),
    ("clippy", clippy),
    ("corpus", |workspace| corpus::bring(workspace).map(drop)),
    ("servers", servers::bring),
    ("tests", tests),
    ("each feature alone", each_feature),
    ("documentation", documentation),
    ("fuzz targets", fuzz_targets),
    ("migration from cosmwasm-vm", migration_from_cosmwasm),
    ("instructions", instructions::check),
    ("oldest wasmtime", min_wasmtime::run),
    ("browser", |workspace| {
        browser::run(workspace, browser::Options::default())
    }),
    ("platforms", platforms::run),
    ("dependencies", dependencies::compare),
    ("licences", |workspace| {
        deny::run(workspace, deny::Options::default())
    }),
    ("packages", publish::pack),
    ("tidy", tidy::run),
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    run_steps(workspace, &STEPS)
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

/// Checks every package without features and with each single one: all features together hide what is
/// missing, or left over, where they are apart.
fn each_feature(workspace: &Workspace) -> Result<()> {
    for (name, package) in &workspace.packages {
        if !package.builds {
            continue;
        }
        if name != NEEDS_A_FEATURE {
            check_alone(workspace, name, &[])?;
        }
        let features = package.features.iter();
        for feature in features.filter(|feature| is_built_here(name, feature)) {
            check_alone(workspace, name, &["--features", feature])?;
        }
    }
    Ok(())
}

/// With clippy and not with `cargo check`, which would let warnings pass.
fn check_alone(workspace: &Workspace, package: &str, features: &[&str]) -> Result<()> {
    let mut command = process::cargo(&workspace.root);
    command.args([
        "clippy",
        "--quiet",
        "--package",
        package,
        "--no-default-features",
    ]);
    process::run(command.args(features).args(["--", "-D", "warnings"]))
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
