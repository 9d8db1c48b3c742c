//! `cargo xtask dependencies`: what each part costs in crates, as `docs/dependencies.md` says it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::lines::ADAPTER;
use crate::process;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the page anew, instead of comparing it
    #[arg(long)]
    update: bool,
}

const PAGE: &str = "docs/dependencies.md";

/// The least that is of use, and what it must stay below.
const LEAST: [&str; 2] = ["module-cache-core", "module-cache-memory"];
const FEWER_THAN: usize = 20;

/// Features of the facade that bring an engine or an async runtime.
const WITH_HEAVY: [&str; 5] = ["remote", "tokio", "wasix", "wasmer", "web"];

/// Neither these nor anything whose name begins like one comes with [`LEAST`] or another feature.
const HEAVY: [&str; 9] = [
    "async-",
    "cranelift",
    "futures",
    "hyper",
    "mio",
    "smol",
    "tokio",
    "wasmer",
    "wasmtime",
];

const INTRODUCTION: &str = "\
# Dependencies

The table counts the crates that end up in a program, those of this project included, on 64-bit Linux with the versions
of `Cargo.lock`. Procedural macros and build scripts are not counted. \"Only\" means without default features. `cargo tree
--edges normal,no-proc-macro` lists the crates of your program.

";

const CHECK: &str = "
`cargo xtask dependencies` checks this page. It fails if the first row grows to 20, or if a feature other than
`remote`, `tokio`, `wasix`, `wasmer` and `web` brings an engine or an async runtime.
";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if !options.update {
        return compare(workspace);
    }
    let path = workspace.root.join(PAGE);
    fs::write(&path, page(workspace)?).with_context(|| format!("cannot write {PAGE}"))
}

/// Compares the page with what cargo says.
pub(crate) fn compare(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join(PAGE);
    let written = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    ensure!(
        written == page(workspace)?,
        "{PAGE} is out of date; run `cargo xtask dependencies --update`"
    );
    Ok(())
}

fn check_least(least: &BTreeSet<String>) -> Result<()> {
    let names = LEAST.join(" and ");
    ensure!(
        least.len() < FEWER_THAN,
        "{names} bring {} crates, and must stay below {FEWER_THAN}: {least:?}",
        least.len()
    );
    check_light(&names, least)
}

fn check_light(what: &str, crates: &BTreeSet<String>) -> Result<()> {
    let heavy = crates
        .iter()
        .find(|name| HEAVY.iter().any(|heavy| name.starts_with(heavy)));
    ensure!(heavy.is_none(), "{what} brings {heavy:?}");
    Ok(())
}

fn page(workspace: &Workspace) -> Result<String> {
    let least = crates(workspace, &LEAST, None)?;
    check_least(&least)?;
    let mut page = INTRODUCTION.to_owned();
    page.push_str("| a program that depends on | crates |\n|---|---:|\n");
    let least_names = LEAST.map(|name| format!("`{name}`")).join(" and ");
    writeln!(page, "| {least_names} | {} |", least.len())?;
    let default = crates(workspace, &["module-cache"], Some("default"))?.len();
    writeln!(
        page,
        "| `module-cache` with its default features | {default} |"
    )?;
    let facade = &workspace.packages["module-cache"];
    for feature in facade.features.iter().filter(|name| *name != "default") {
        let brought = crates(workspace, &["module-cache"], Some(feature))?;
        if !WITH_HEAVY.contains(&feature.as_str()) {
            check_light(feature, &brought)?;
        }
        let count = brought.len();
        writeln!(page, "| `module-cache` with only `{feature}` | {count} |")?;
    }
    for (features, what) in [
        ("cranelift", ""),
        ("cranelift,component-model", " with `component-model`"),
    ] {
        let count = crates(workspace, &[ADAPTER], Some(features))?.len();
        writeln!(page, "| `{ADAPTER}`{what} | {count} |")?;
    }
    page.push_str(CHECK);
    Ok(page)
}

/// The names and versions of all crates that `packages` bring into a program.
fn crates(
    workspace: &Workspace,
    packages: &[&str],
    feature: Option<&str>,
) -> Result<BTreeSet<String>> {
    let mut command = process::cargo(&workspace.root);
    command.args([
        "tree",
        "--locked",
        "--quiet",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "--format",
        "{p}",
        "--target",
        "x86_64-unknown-linux-gnu",
        "--no-default-features",
    ]);
    for package in packages {
        command.args(["--package", package]);
    }
    if let Some(feature) = feature {
        command.args(["--features", feature]);
    }
    let tree = String::from_utf8(process::capture(&mut command)?)?;
    // `name v1.2.3`, and for members their folder behind it.
    let names = tree.lines().filter(|line| !line.is_empty());
    Ok(names
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_async_runtime_or_too_many_crates_are_errors() {
        assert!(check_least(&named(&["blake3 v1.0.0"])).is_ok());
        let error = check_least(&named(&["blake3 v1.0.0", "tokio-util v0.7.0"])).unwrap_err();
        assert!(error.to_string().contains("tokio-util"), "{error}");
        let many: Vec<_> = (0..FEWER_THAN).map(|n| format!("a{n} v1.0.0")).collect();
        assert!(check_least(&many.into_iter().collect()).is_err());
    }
}
