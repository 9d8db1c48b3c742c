//! `cargo xtask`: what this repository does to itself, one file per command.

#![forbid(unsafe_code)]

mod bench;
mod browser;
mod ci;
mod corpus;
mod debian;
mod debian_rust;
mod deny;
mod dependencies;
mod emulate;
mod faults;
mod fleet;
mod installed;
mod instructions;
mod layouts;
mod lines;
mod manifest;
mod one_wasmtime;
mod platforms;
mod process;
mod publish;
mod servers;
mod target;
mod test;
mod tidy;
mod toolchain;
mod versions;
mod wasmers;
mod wasmtimes;
mod workspace;
mod workspace_copy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Automation of the module-cache repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure this project beside baselines and peers, and write docs/performance.md
    Bench(bench::Options),
    /// Run the browser's tests in headless Chromium and in Node, and the demo page
    Browser(browser::Options),
    /// Everything that has to pass before a change is merged, in order, up to the first failure
    Ci(ci::Options),
    /// Bring the third-party wasm of tests and benchmarks into the target folder, checked by hash
    Corpus(corpus::Options),
    /// Check the licences and sources of all dependencies
    Deny(deny::Options),
    /// Compare docs/dependencies.md with the crates that each feature brings
    Dependencies(dependencies::Options),
    /// Run tests of aarch64 Linux and of Windows on this machine, and count them
    Emulate,
    /// Do to the cache's folder what systems, disks and power supplies do, and write docs/reliability.md
    Faults(faults::Options),
    /// Simulate hosts that share a storage, in small fleets with random failures and in a large one, and write docs/reliability.md
    Fleet(fleet::Options),
    /// Count the instructions of the paths that matter, and fail if they are more, or far fewer, than before
    Instructions(instructions::Options),
    /// Run two builds of one program on one folder, whose wasmer archives are laid out differently
    Layouts,
    /// Show that a program gets one wasmtime, with each of several major versions and without a lock file
    OneWasmtime(one_wasmtime::Options),
    /// Type-check the crates for other systems
    Platforms,
    /// Pack and build all crates as if to publish them, or publish them
    Publish(publish::Options),
    /// Bring the servers that tests talk to into the target folder
    Servers,
    /// Bring the corpus and the servers, then run the tests of the whole workspace
    Test(test::Options),
    /// Check the house rules that a program can check, and report every fault
    Tidy,
    /// Compare docs/versions.md with what is tested, and with what the crates ask for
    Versions(versions::Options),
    /// Test the wasmer adapter with other versions of wasmer, each with a Rust that builds it
    Wasmers,
    /// Test the wasmtime adapter with the oldest, the newest and other versions of wasmtime, each with a Rust that builds it
    Wasmtimes(wasmtimes::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::load()?;
    match command {
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Browser(options) => browser::run(&workspace, options),
        Command::Ci(options) => ci::run(&workspace, &options),
        Command::Corpus(options) => corpus::run(&workspace, options),
        Command::Deny(options) => deny::run(&workspace, options),
        Command::Dependencies(options) => dependencies::run(&workspace, &options),
        Command::Emulate => emulate::run(&workspace),
        Command::Faults(options) => faults::run(&workspace, options),
        Command::Fleet(options) => fleet::run(&workspace, options),
        Command::Instructions(options) => instructions::run(&workspace, options),
        Command::Layouts => layouts::run(&workspace),
        Command::OneWasmtime(options) => one_wasmtime::run(&workspace, options),
        Command::Platforms => platforms::run(&workspace),
        Command::Publish(options) => publish::run(&workspace, options),
        Command::Servers => servers::bring(&workspace),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Tidy => tidy::run(&workspace),
        Command::Versions(options) => versions::run(&workspace, &options),
        Command::Wasmers => wasmers::run(&workspace),
        Command::Wasmtimes(options) => wasmtimes::run(&workspace, &options),
    }
}
