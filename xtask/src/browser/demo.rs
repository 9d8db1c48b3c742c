//! The demo page: built, served, visited by a headless browser, and weighed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::programs::CHROMIUM_OPTIONS;
use super::server::Server;
use super::toolchain::Toolchain;
use super::wasm_bindgen::WasmBindgen;
use super::{CRATE, TARGET};
use crate::process;
use crate::workspace::Workspace;

/// The examples of [`CRATE`] that are compared: with the cache, and without.
const WITH: &str = "demo";
const WITHOUT: &str = "without_cache";
/// The profile that makes them small.
const PROFILE: &str = "web";

/// What the page loads, from the corpus.
const MODULE: &str = "sqlite.wasm";

/// How long a browser may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The folder that is served.
pub(super) struct Demo(PathBuf);

/// Puts the page, its program and the module together, in `<home>/demo`.
pub(super) fn build(
    workspace: &Workspace,
    toolchain: &Toolchain,
    wasm_bindgen: &WasmBindgen,
    corpus: &Path,
    home: &Path,
) -> Result<Demo> {
    let folder = home.join("demo");
    fs::create_dir_all(&folder)?;
    process::run(
        toolchain
            .cargo(workspace)
            .args([
                "build",
                "--package",
                CRATE,
                "--target",
                TARGET,
                "--profile",
                PROFILE,
            ])
            .args(["--example", WITH, "--example", WITHOUT]),
    )?;
    let built = toolchain.target.join(TARGET).join(PROFILE).join("examples");
    for example in [WITH, WITHOUT] {
        wasm_bindgen.bind(&built.join(example).with_extension("wasm"), &folder)?;
    }
    for entry in fs::read_dir(workspace.root.join("crates").join(CRATE).join("demo"))? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let module = fs::read(corpus.join(MODULE))?;
    let about = json!({
        "url": MODULE,
        "hash": blake3::hash(&module).to_hex().as_str(),
        "size": module.len(),
    });
    fs::write(folder.join("module.json"), about.to_string())?;
    fs::write(folder.join(MODULE), module)?;
    Ok(Demo(folder))
}

impl Demo {
    /// Serves the page until this program is interrupted.
    pub(super) fn serve(&self) -> Result<()> {
        let server = Server::start(&self.0)?;
        println!("the demo is at http://{}/ (Ctrl-C ends it)", server.address);
        loop {
            thread::park();
        }
    }

    /// Lets Chromium load the page, checks what it measured, and keeps a picture of it.
    pub(super) fn visit(&self, chromium: &Path, picture: &Path) -> Result<()> {
        let server = Server::start(&self.0)?;
        let profile = tempfile::tempdir()?;
        let mut browser = Command::new(chromium);
        browser
            .args(CHROMIUM_OPTIONS)
            .args(["--hide-scrollbars", "--window-size=820,600"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--screenshot={}", picture.display()))
            .arg(format!("http://{}/", server.address))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let browser = browser.spawn().context("cannot start Chromium")?;
        let results = server.results_within(PATIENCE);
        end(browser)?;
        let results = results.context("the demo page sent no results in time")?;
        for line in check(&results)? {
            eprintln!("{line}");
        }
        eprintln!("a picture of it is at {}", picture.display());
        Ok(())
    }

    /// Prints what the cache adds to what a page downloads.
    pub(super) fn print_size(&self) -> Result<()> {
        let size = |name: &str| -> Result<[usize; 2]> {
            let wasm = self.0.join(format!("{name}_bg.wasm"));
            let zipped = process::capture(Command::new("gzip").arg("-9c").arg(&wasm))?;
            Ok([fs::read(&wasm)?.len(), zipped.len()])
        };
        let ([with, with_zipped], [without, without_zipped]) = (size(WITH)?, size(WITHOUT)?);
        eprintln!(
            "the cache adds {} bytes of wasm to a page, {} compressed ({with} with it, {without} without)",
            with.saturating_sub(without),
            with_zipped.saturating_sub(without_zipped),
        );
        Ok(())
    }
}

/// Waits until the browser has ended, and ends it when it takes too long.
fn end(mut browser: Child) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if browser.try_wait()?.is_some() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    browser.kill()?;
    browser.wait()?;
    bail!("Chromium did not end");
}

/// Fails unless the page and both workers compiled once and then had the module. Returns the times.
fn check(results: &str) -> Result<Vec<String>> {
    let results: Value = serde_json::from_str(results).context("the results are no JSON")?;
    let mut times = Vec::new();
    let mut seen = Vec::new();
    for result in results.as_array().context("the results are no list")? {
        let place = result["where"].as_str().unwrap_or_default();
        ensure!(
            result["error"].is_null(),
            "the demo page failed: {}",
            result["error"]
        );
        let loads = result["loads"].as_array().context("no loads")?;
        let sources: Vec<_> = loads.iter().map(|load| load["source"].as_str()).collect();
        ensure!(
            sources == [Some("compiled"), Some("resident")],
            "{place} did not compile once and then have the module: {sources:?}"
        );
        for load in loads {
            let milliseconds = load["milliseconds"].as_f64().context("no time")?;
            let source = load["source"].as_str().unwrap_or_default();
            times.push(format!("{place:>10}  {source}  {milliseconds:9.4} ms"));
        }
        seen.push(place);
    }
    ensure!(
        seen == ["page", "worker 1", "worker 2"],
        "not all loaded the module, only {seen:?}"
    );
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(second: [&str; 3]) -> String {
        let one = |(place, second): (&&str, &str)| {
            json!({ "where": place, "loads": [
                { "source": "compiled", "milliseconds": 12.5 },
                { "source": second, "milliseconds": 0.01 },
            ]})
        };
        let places = ["page", "worker 1", "worker 2"];
        let list: Vec<_> = places.iter().zip(second).map(one).collect();
        Value::Array(list).to_string()
    }

    #[test]
    fn each_place_must_compile_once_and_have_it_then() {
        let times = check(&results(["resident"; 3])).unwrap();
        assert_eq!(times.len(), 6);
        assert_eq!(times[4], "  worker 2  compiled    12.5000 ms");
        let error = check(&results(["resident", "compiled", "resident"])).unwrap_err();
        assert!(error.to_string().starts_with("worker 1 did not"), "{error}");
    }

    #[test]
    fn what_the_page_could_not_do_is_an_error() {
        let error = check(r#"[{"where": "error", "error": "no wasm"}]"#).unwrap_err();
        assert!(error.to_string().contains("no wasm"), "{error}");
        assert!(check("[]").is_err());
        assert!(check("oops").is_err());
    }
}
