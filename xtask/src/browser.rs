//! `cargo xtask browser`: the caches, the engine and the loader of a browser, in headless Chromium and in Node.
//!
//! What is missing is installed or built first; what was built is kept in `<target>/browser/` and found again.

mod demo;
mod programs;
mod server;
mod toolchain;
mod wasm_bindgen;

use anyhow::{Context, Result, bail, ensure};

use crate::corpus;
use crate::process;
use crate::workspace::Workspace;
use programs::Programs;
use toolchain::Toolchain;
use wasm_bindgen::WasmBindgen;

/// What this is all compiled for.
const TARGET: &str = "wasm32-unknown-unknown";

/// The crate whose tests and demo run here.
const CRATE: &str = "module-cache-web";

/// What the facade has for a browser.
const FACADE_FEATURES: &str = "memory,fallback,loader,web";

/// Crates that cannot work in a browser.
const NOT_HERE: [&str; 2] = ["module-cache-filesystem", "module-cache-remote"];

/// What the command takes.
#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Options {
    /// Serve the demo page on this machine instead, until interrupted
    #[arg(long)]
    demo: bool,
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let home = workspace.target.join("browser");
    std::fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let toolchain = Toolchain::ready(workspace, &home)?;
    let wasm_bindgen = WasmBindgen::ready(workspace, &home)?;
    let build_demo = || {
        let corpus = corpus::bring(workspace)?;
        demo::build(workspace, &toolchain, &wasm_bindgen, &corpus, &home)
    };
    if options.demo {
        return build_demo()?.serve();
    }

    let programs = Programs::ready()?;
    process::run(toolchain.cargo(workspace).args([
        "check",
        "--package=module-cache",
        "--no-default-features",
        "--features",
        FACADE_FEATURES,
        "--target",
        TARGET,
    ]))?;
    for name in NOT_HERE {
        check_refusal(workspace, &toolchain, name)?;
    }
    let driver = programs.write_driver_options(&home)?;
    // A test that waits for ever is found in Chromium: Node ends well when there is nothing left to happen.
    for (place, mode) in [
        ("Node", "WASM_BINDGEN_TEST_ONLY_NODE"),
        ("a page in Chromium", "WASM_BINDGEN_USE_BROWSER"),
        ("a worker in Chromium", "WASM_BINDGEN_USE_DEDICATED_WORKER"),
    ] {
        eprintln!("tests in {place}");
        process::run(
            toolchain
                .cargo(workspace)
                .args(["test", "--package", CRATE, "--tests", "--target", TARGET])
                .env(
                    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
                    wasm_bindgen.test_runner(),
                )
                .env("CHROMEDRIVER", &programs.chromedriver)
                .env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", &driver)
                .env(mode, "1"),
        )
        .with_context(|| format!("the tests do not pass in {place}"))?;
    }
    let demo = build_demo()?;
    demo.visit(&programs.chromium, &home.join("demo.png"))?;
    demo.print_size()
}

/// Fails unless the crate does not compile and says so itself, in words of its own.
fn check_refusal(workspace: &Workspace, toolchain: &Toolchain, name: &str) -> Result<()> {
    let mut check = toolchain.cargo(workspace);
    check.args(["check", "--quiet", "--package", name, "--target", TARGET]);
    let Err(error) = process::capture(&mut check) else {
        bail!("{name} compiles for {TARGET}, where it cannot work");
    };
    ensure!(
        error.to_string().contains(&format!("error: {name} needs ")),
        "{name} does not say why it cannot be used on {TARGET}: {error}"
    );
    eprintln!("{name} says why it cannot be used on {TARGET}");
    Ok(())
}
