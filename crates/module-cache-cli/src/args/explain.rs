//! The commands that tell what stored code depends on.

use std::path::PathBuf;

use clap::Args;

use super::compile::{EngineConfigArg, EngineNameArg};
use super::{CacheDirArg, SelectArgs};
use crate::hash_function::HashFunction;

/// Print what the code of modules depends on, field by field
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache inspect 9f86d081884c7d65
  module-cache inspect --engine wasmtime 9f86d081884c7d65 | grep epoch

For each entry, the command prints `hash`, `engine` with its whole digest,
`bytes` and `signed`. Below `code` it prints, indented, what the code says about
the engine that compiled it: the target, compiler flags, features of the CPU and
of wasm, and what wasmtime calls tunables. A salt, which a program may give to
its engine, is part of the digest only. Code for another version of wasmtime
tells little, and wasmer's experimental artifacts tell nothing.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR.

Exit codes: 0 if all entries that were asked for exist and can be used; 1 if
not; 2 for a wrong command line; 141 if standard output was closed.")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// Explain why a file would be compiled again: which code is stored, and how it differs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache why app.wasm
  module-cache why --engine-config engine.toml app.wasm

The first line says whether the cache has code of the file that this command, or
a program with the settings of --engine-config, can run. Then follows one line
for each entry of another engine: the engine's name, and how it differs. Code
with the same settings for CPU levels that this machine can run is not listed.
Without a cache folder, nothing is printed on standard output.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR.

Exit codes: 0 if the cache has such code; 1 if not; 2 for a wrong command line;
141 if standard output was closed.")]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) engine: EngineNameArg,

    #[command(flatten)]
    pub(crate) engine_config: EngineConfigArg,

    /// The hash function of the key that the code is stored under
    #[arg(long, value_name = "FUNCTION", default_value = "blake3")]
    pub(crate) hash: HashFunction,

    /// The module or component, binary or text (`-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

impl WhyArgs {
    /// What is wrong with the options together.
    pub(super) fn objection(&self) -> Option<&'static str> {
        self.engine_config.objection(self.engine.name)
    }
}
