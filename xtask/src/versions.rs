//! `cargo xtask versions`: which versions of engines and of Rust are supported, and how each is tested, as
//! `docs/versions.md` says it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use anyhow::{Context, Result, ensure};
use toml::Table;

use crate::workspace::Workspace;
use crate::{lines, manifest, wasmers, wasmtimes};

/// What the command takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write the page anew, instead of comparing it
    #[arg(long)]
    update: bool,
}

const PAGE: &str = "docs/versions.md";

const WITH_EACH_CHANGE: &str = "all tests, with each change: `cargo xtask ci`";

const INTRODUCTION: &str = "\
# Versions

";

const LINES: &str = "
**wasmtime.** The adapter has one release line for each major version of wasmtime. All lines are built from the same
source: version `43.1.0` of the adapter is version 0.1.0 of module-cache for wasmtime 43, and depends on
`wasmtime = \"43\"`. So Cargo does not add a second wasmtime to a program or library that uses it. `cargo xtask
one-wasmtime` checks this with each change: it resolves a library and a program against the packaged crates.

Write the requirement with a tilde, as in the table: the second number is the minor version of module-cache.

";

const OTHERS: &str = "
**wasmer.** One adapter is for all versions in the table. Cargo refuses other minor versions, because the engine id was
checked against the sources of these only.

**Rust.** You need the newest of these: the Rust of each crate that you use, directly or through a feature of
`module-cache`, and the Rust of your engine.

";

const RUST: &str = "
Clippy checks with each change that no crate uses a newer standard library.
";

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    if !options.update {
        return compare(workspace);
    }
    fs::write(workspace.root.join(PAGE), page(workspace)?)
        .with_context(|| format!("cannot write {PAGE}"))
}

/// Compares the page with what is tested now.
pub(crate) fn compare(workspace: &Workspace) -> Result<()> {
    let written = fs::read_to_string(workspace.root.join(PAGE))
        .with_context(|| format!("cannot read {PAGE}"))?;
    ensure!(
        written == page(workspace)?,
        "{PAGE} is out of date; run `cargo xtask versions --update`"
    );
    Ok(())
}

fn page(workspace: &Workspace) -> Result<String> {
    let manifest = manifest::read(&workspace.root.join("Cargo.toml"))?;
    let own = manifest::workspace_version(&manifest)?;
    let rust = &workspace.packages["xtask"].rust_version;
    let locked = manifest::read(&workspace.root.join("Cargo.lock"))?;
    let mut page = INTRODUCTION.to_owned();
    page.push_str("| engine | adapter | Rust in the tests | tests |\n|---|---|---|---|\n");
    for (wasmtime, rust, how) in rows(&locked, rust)? {
        let line = lines::requirement(wasmtimes::major(&wasmtime)?, own)?;
        let adapter = lines::ADAPTER;
        writeln!(
            page,
            "| wasmtime {wasmtime} | `{adapter} = \"{line}\"` | {rust} | {how} |"
        )?;
    }
    let with_each_change = (version(&locked, "wasmer")?, &**rust, WITH_EACH_CHANGE);
    let weekly = wasmers::TESTED.map(|(wasmer, _, rust)| {
        (
            wasmer,
            rust,
            "the adapter's tests, weekly: `cargo xtask wasmers`",
        )
    });
    for (wasmer, rust, how) in [with_each_change].into_iter().chain(weekly) {
        let adapter = wasmers::ADAPTER;
        writeln!(
            page,
            "| wasmer {wasmer} | `{adapter} = \"{own}\"` | {rust} | {how} |"
        )?;
    }
    page.push_str(LINES);
    writeln!(
        page,
        "The lines for the other versions of wasmtime from {} to {} are packaged with each change, but neither built nor tested.",
        lines::MAJORS.start(),
        lines::MAJORS.end()
    )?;
    page.push_str(OTHERS);
    page.push_str("| crates | oldest Rust |\n|---|---|\n");
    for (rust, names) in by_rust(workspace) {
        writeln!(page, "| {} | {rust} |", names.join(", "))?;
    }
    page.push_str(RUST);
    Ok(page)
}

/// The versions of wasmtime that are tested, oldest first, with the Rust and the command of each.
fn rows(locked: &Table, rust: &str) -> Result<Vec<(String, String, String)>> {
    let mut rows = vec![(
        version(locked, "wasmtime")?.to_owned(),
        rust.to_owned(),
        WITH_EACH_CHANGE.to_owned(),
    )];
    for (wasmtime, rust) in wasmtimes::TESTED {
        let how = format!(
            "the adapter's tests, weekly: `cargo xtask wasmtimes {}`",
            wasmtimes::major(wasmtime)?
        );
        rows.push((wasmtime.to_owned(), rust.to_owned(), how));
    }
    rows.sort();
    Ok(rows)
}

/// The version of a package in a lock file that has one of it.
fn version<'l>(locked: &'l Table, name: &str) -> Result<&'l str> {
    let packages = locked
        .get("package")
        .and_then(|packages| packages.as_array());
    let mut versions = packages.into_iter().flatten().filter_map(|package| {
        let package = package.as_table()?;
        let is_wanted = package.get("name")?.as_str()? == name;
        is_wanted.then(|| package.get("version")?.as_str())?
    });
    let version = versions.next();
    ensure!(
        versions.next().is_none(),
        "Cargo.lock has more than one {name}"
    );
    version.with_context(|| format!("Cargo.lock has no {name}"))
}

/// The published crates by the oldest Rust that they build with.
fn by_rust(workspace: &Workspace) -> BTreeMap<&str, Vec<String>> {
    let mut crates = BTreeMap::<&str, Vec<String>>::new();
    for (name, package) in workspace
        .packages
        .iter()
        .filter(|(_, package)| package.is_published)
    {
        let names = crates.entry(&package.rust_version).or_default();
        names.push(format!("`{name}`"));
    }
    crates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_file_with_two_of_a_package_is_an_error() {
        let package =
            |version| format!("[[package]]\nname = \"wasmtime\"\nversion = \"{version}\"\n");
        let one: Table = package("47.0.4").parse().unwrap();
        assert_eq!(version(&one, "wasmtime").unwrap(), "47.0.4");
        assert!(version(&one, "wasmer").is_err());
        let two: Table = (package("47.0.4") + &package("48.0.8")).parse().unwrap();
        assert!(version(&two, "wasmtime").is_err());
    }

    #[test]
    fn the_light_crates_need_no_newer_rust_than_the_oldest_wasmtime() {
        let workspace = Workspace::load().unwrap();
        let (_, rust) = wasmtimes::TESTED[0];
        for name in [
            "module-cache",
            "module-cache-core",
            "module-cache-fallback",
            "module-cache-filesystem",
            "module-cache-loader",
            "module-cache-memory",
            "module-cache-testkit",
            lines::ADAPTER,
        ] {
            assert_eq!(workspace.packages[name].rust_version, rust, "{name}");
        }
    }
}
