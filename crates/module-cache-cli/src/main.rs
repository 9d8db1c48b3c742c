//! The `module-cache` command: runs WebAssembly from a cache of compiled modules, and fills that cache.
//!
//! What it understands is in `args.rs`; each command has a file of its name.

#![forbid(unsafe_code)]

mod args;
mod cache_folder;
mod compile;
mod dir;
mod engine;
mod find_files;
mod guest_stdout;
mod messages;
mod output;
mod program;
mod reporting_cache;
mod run;
mod tracing_warnings;
mod wasm_file;

use std::process::ExitCode;
use std::time::Instant;

use crate::args::Command;

fn main() -> ExitCode {
    let started = Instant::now();
    tracing_warnings::install();
    let outcome = match args::parse() {
        Command::Run(args) => run::run(&args, started),
        Command::Compile(args) => compile::compile(&args),
        Command::Dir(args) => dir::dir(&args),
    };
    let code = outcome.unwrap_or_else(|error| {
        if error.is::<output::StdoutClosed>() {
            return output::CODE_OF_CLOSED_STDOUT;
        }
        messages::error(format_args!("{error:#}"));
        1
    });
    code.into()
}
