//! `cargo xtask one-wasmtime`: shows that a program gets one wasmtime, whichever of the supported ones it asks for.
//!
//! A library and a program that uses it depend on wasmtime, on the facade and on the adapter's line, all packed as they
//! are published. There is no lock file, and `cargo update` chooses. With each change only versions are resolved; once a
//! week the oldest program is built and run, with the oldest Rust that its wasmtime supports.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::workspace::Workspace;
use crate::{lines, manifest, process, toolchain, wasmtimes};

const FACADE: &str = "module-cache";
const CORE: &str = "module-cache-core";

const LIBRARY: &str = r#"//! A library that runs wasm, and takes the engine of its caller.

use module_cache::{HashedModule, ModuleLoader, in_memory};
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::{Engine, Error, Instance, Store};

/// Calls `answer` of a module.
pub fn answer(engine: &Engine, wasm: &[u8]) -> Result<i32, Error> {
    let loader = ModuleLoader::new(WasmtimeEngine::new(engine)?, in_memory());
    let module = loader.load(&HashedModule::new(wasm))?.module;
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let answer = instance.get_typed_func::<(), i32>(&mut store, "answer")?;
    answer.call(&mut store, ())
}
"#;

/// The module is `(module (func (export "answer") (result i32) i32.const 42))`.
const PROGRAM: &str = r#"//! A program on top of the library, with an engine of its own.

const WASM: &[u8] =
    b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\x03\x02\x01\0\x07\x0a\x01\x06answer\0\0\x0a\x06\x01\x04\0\x41\x2a\x0b";

fn main() {
    println!("{}", library::answer(&wasmtime::Engine::default(), WASM).unwrap());
}
"#;

/// What the command takes.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Build and run the program with the oldest wasmtime, too, with the oldest Rust that it supports
    #[arg(long)]
    pub(crate) build: bool,
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let manifest = manifest::read(&workspace.root.join("Cargo.toml"))?;
    let own = manifest::workspace_version(&manifest)?;
    let home = workspace.target.join("one-wasmtime");
    let patches = packed(workspace, own, &home.join("packed"))?;
    let resolve = |major: u64, rust| {
        let folder = home.join(major.to_string());
        lay_out(&folder, major, rust, own, &patches)
            .with_context(|| format!("cannot prepare {}", folder.display()))?;
        resolve(&folder, major).with_context(|| format!("a program with wasmtime {major}"))?;
        anyhow::Ok(folder)
    };
    for (wasmtime, _) in wasmtimes::TESTED {
        resolve(wasmtimes::major(wasmtime)?, None)?;
    }
    if options.build {
        let (wasmtime, rust) = wasmtimes::TESTED[0];
        let folder = resolve(wasmtimes::major(wasmtime)?, Some(rust))?;
        let mut run = toolchain::cargo(&folder, rust)?;
        run.args(["run", "--locked"]);
        process::run(run.env("CARGO_TARGET_DIR", folder.join("target")))?;
    }
    Ok(())
}

fn resolve(folder: &Path, major: u64) -> Result<()> {
    process::capture(process::cargo(folder).arg("update"))?;
    let metadata = process::capture(process::cargo(folder).args([
        "metadata",
        "--locked",
        "--format-version",
        "1",
    ]))?;
    eprintln!("{}", check(&serde_json::from_slice(&metadata)?, major)?);
    Ok(())
}

/// Packs and unpacks the facade, what it is made of, and all lines of the adapter, and returns the `[patch]` that has
/// them found as if they were published.
fn packed(workspace: &Workspace, own: &str, folder: &Path) -> Result<String> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let facade = workspace.closure(FACADE, |package| &package.dependencies)?;
    let names: Vec<_> = facade.iter().map(String::as_str).collect();
    let packages = lines::pack(&workspace.root, &workspace.target, &names)?;
    let mut patch = "[patch.crates-io]\n".to_owned();
    for name in names {
        let path = unpack(&packages, &format!("{name}-{own}"), folder)?;
        writeln!(patch, "{name} = {{ path = \"{path}\" }}")?;
    }
    for major in lines::MAJORS {
        let version = lines::version(major, own)?;
        let copy = lines::lay_out(workspace, major)?;
        let packages = lines::pack(&copy, &copy.join("target"), &[CORE, lines::ADAPTER])?;
        let adapter = lines::ADAPTER;
        let path = unpack(&packages, &format!("{adapter}-{version}"), folder)?;
        writeln!(
            patch,
            "line-{major} = {{ package = {adapter:?}, path = \"{path}\" }}"
        )?;
    }
    Ok(patch)
}

/// Unpacks a package, and returns its folder.
fn unpack(packages: &Path, name: &str, folder: &Path) -> Result<String> {
    let mut tar = Command::new("tar");
    tar.current_dir(folder)
        .arg("-xzf")
        .arg(packages.join(format!("{name}.crate")));
    process::capture(&mut tar)?;
    Ok(folder.join(name).display().to_string())
}

/// Writes the library and the program. With a version of Rust, Cargo chooses dependencies that support it; without, it is
/// not to be helped by that.
fn lay_out(folder: &Path, major: u64, rust: Option<&str>, own: &str, patches: &str) -> Result<()> {
    let _ = fs::remove_file(folder.join("Cargo.lock"));
    let line = lines::requirement(major, own)?;
    let resolver = if rust.is_some() { "3" } else { "2" };
    let rust = rust.map_or(String::new(), |rust| format!("rust-version = {rust:?}\n"));
    let wasmtime = format!("wasmtime = {{ version = \"{major}\", default-features = false }}\n");
    let package = |name| {
        format!(
            "[package]\nname = {name:?}\nedition = \"2024\"\n{rust}\n[dependencies]\n{wasmtime}"
        )
    };
    let adapter = lines::ADAPTER;
    let library = package("library")
        + &format!(
            "{FACADE} = {{ version = {own:?}, features = [\"bundle\", \"ed25519\", \"metrics\", \"tokio\"] }}\n\
             {adapter} = {line:?}\n"
        );
    let program = package("program") + "library = { path = \"../library\" }\n";
    let root = format!(
        "[workspace]\nresolver = {resolver:?}\nmembers = [\"library\", \"program\"]\n\n{patches}"
    );
    for (file, text) in [
        ("Cargo.toml", &*root),
        ("library/Cargo.toml", &library),
        ("library/src/lib.rs", LIBRARY),
        ("program/Cargo.toml", &program),
        ("program/src/main.rs", PROGRAM),
    ] {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().context("a file without a folder")?)?;
        fs::write(path, text)?;
    }
    Ok(())
}

/// What was resolved, if it is one wasmtime of `major` without components, and one of each crate of ours.
fn check(metadata: &Value, major: u64) -> Result<String> {
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("nothing resolved")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let mut found = String::new();
    for name in ["wasmtime", lines::ADAPTER, FACADE, CORE] {
        let versions: Vec<_> = packages
            .iter()
            .filter(|package| package["name"] == name)
            .filter_map(|package| package["version"].as_str())
            .collect();
        ensure!(
            versions.len() == 1,
            "has {name} {versions:?}, and should have one"
        );
        write!(found, "{name} {} ", versions[0])?;
        if name.contains("wasmtime") {
            ensure!(
                wasmtimes::major(versions[0])? == major,
                "has {name} {versions:?}"
            );
        }
    }
    let wasmtime = packages
        .iter()
        .find(|package| package["name"] == "wasmtime");
    let id = wasmtime.map(|package| &package["id"]);
    let node = nodes.iter().find(|node| Some(&node["id"]) == id);
    let features = node.and_then(|node| node["features"].as_array());
    let features = features.context("wasmtime has no list of features")?;
    ensure!(
        !features.iter().any(|feature| feature == "component-model"),
        "has wasmtime's `component-model`, and nobody asked for it"
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resolved(wasmtimes: &[&str], feature: &str) -> Value {
        let package =
            |name: &str, version: &str| json!({ "name": name, "version": version, "id": name });
        let mut packages = vec![
            package(lines::ADAPTER, "43.1.0"),
            package(FACADE, "0.1.0"),
            package(CORE, "0.1.0"),
        ];
        packages.extend(wasmtimes.iter().map(|version| package("wasmtime", version)));
        let nodes = json!([{ "id": "wasmtime", "features": [feature] }]);
        json!({ "packages": packages, "resolve": { "nodes": nodes } })
    }

    #[test]
    fn two_wasmtimes_or_another_than_was_asked_for_are_errors() {
        let check = |wasmtimes: &[&str]| check(&resolved(wasmtimes, "std"), 43);
        check(&["43.0.2"]).unwrap();
        let error = check(&["43.0.2", "48.0.8"]).unwrap_err().to_string();
        assert!(
            error.contains("43.0.2") && error.contains("48.0.8"),
            "{error}"
        );
        assert!(check(&["48.0.8"]).is_err() && check(&[]).is_err());
    }

    #[test]
    fn components_that_nobody_asked_for_are_an_error() {
        let error = check(&resolved(&["43.0.2"], "component-model"), 43).unwrap_err();
        assert!(error.to_string().contains("component-model"), "{error}");
    }
}
