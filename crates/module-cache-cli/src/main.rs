//! The `module-cache` command: runs WebAssembly from a cache of compiled modules, and fills, inspects,
//! trims and moves that cache.
//!
//! What it understands is in `args.rs`; each command has a file of its name.

#![deny(unsafe_code)]

mod args;
mod cache_folder;
mod clean;
mod compile;
mod completions;
mod engine;
mod engine_config;
mod export;
mod find_files;
mod guest_stdout;
mod hash_function;
mod import;
mod inspect;
mod key;
mod keys;
mod ls;
mod messages;
mod output;
mod precompiler;
mod program;
mod progress;
mod prune;
#[cfg(feature = "remote")]
mod pull;
#[cfg(feature = "remote")]
mod push;
mod remote;
mod run;
mod saved;
mod selection;
mod size;
mod tiered;
mod tracing_warnings;
#[cfg(feature = "remote")]
mod transfer;
mod units;
mod verify;
mod wasm_file;
mod why;

use std::process::ExitCode;
use std::time::Instant;

use crate::args::Command;

fn main() -> ExitCode {
    let started = Instant::now();
    let command = args::parse();
    // These tell each failure of the storage as an error.
    let told = matches!(command, Command::Push(_) | Command::Pull(_));
    tracing_warnings::install(told);
    let outcome = match command {
        Command::Run(args) => run::run(&args, started),
        Command::Compile(args) => compile::compile(&args),
        Command::Ls(args) => ls::ls(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Why(args) => why::why(&args),
        Command::Size(args) => size::size(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Prune(args) => prune::prune(&args),
        Command::Clean(args) => clean::clean(&args),
        Command::Export(args) => export::export(&args),
        Command::Import(args) => import::import(&args),
        #[cfg(feature = "remote")]
        Command::Push(args) => push::push(&args),
        #[cfg(feature = "remote")]
        Command::Pull(args) => pull::pull(&args),
        #[cfg(not(feature = "remote"))]
        Command::Push(_) | Command::Pull(_) => Err(anyhow::anyhow!(args::NOT_BUILT)),
        Command::Key(args) => key::key(&args),
        Command::Dir(args) => cache_folder::dir(&args),
        Command::Completions(args) => completions::completions(&args),
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
