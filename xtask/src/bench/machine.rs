//! What it was measured on, and with.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::process;
use crate::workspace::Workspace;

/// Whose versions matter to the figures.
const PACKAGES: [&str; 14] = [
    "blake3",
    "cacache",
    "criterion",
    "dashmap",
    "foyer-memory",
    "lru",
    "moka",
    "papaya",
    "quick_cache",
    "wasmer",
    "wasmer-cache",
    "wasmer-wasix",
    "wasmtime",
    "zstd",
];

/// A list of the machine and the versions, in Markdown.
pub(super) fn describe(workspace: &Workspace) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let (memory, processor) = (memory()?, processor()?);
    let kernel = said(Command::new("uname").arg("-sr"))?;
    let rust = said(Command::new("rustc").arg("--version"))?;
    let versions = versions(workspace)?;
    Ok(format!(
        "- {processor}, {cores} cores to use, {memory} GiB of memory\n- {kernel}; {rust}\n- {versions}\n"
    ))
}

fn processor() -> Result<String> {
    let told = fs::read_to_string("/proc/cpuinfo")?;
    let model = told
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model.and_then(|rest| rest.split_once(": "));
    Ok(model
        .map_or("a processor without a name", |(_, name)| name)
        .to_owned())
}

fn memory() -> Result<u64> {
    let told = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = told.split_whitespace().nth(1).context("an empty list")?;
    Ok(kilobytes.parse::<u64>()?.div_ceil(1 << 20))
}

fn said(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8(process::capture(command)?)?
        .trim()
        .to_owned())
}

fn versions(workspace: &Workspace) -> Result<String> {
    let lock: Table = fs::read_to_string(workspace.root.join("Cargo.lock"))?.parse()?;
    let packages = lock.get("package").and_then(Value::as_array);
    let packages = packages.context("a lock file without packages")?;
    let text = |package: &Value, field: &str| package.get(field)?.as_str().map(str::to_owned);
    let version = |name: &str| {
        let found = packages
            .iter()
            .find(|package| text(package, "name").as_deref() == Some(name));
        found.and_then(|package| Some(format!("{name} {}", text(package, "version")?)))
    };
    let versions: Vec<_> = PACKAGES.iter().filter_map(|name| version(name)).collect();
    Ok(versions.join(", "))
}
