//! The commands that tell what stored code depends on.

use std::path::PathBuf;

use clap::Args;

use super::compile::{EngineConfigArg, EngineNameArg};
use super::{CacheDirArg, SelectArgs};
use crate::hash_function::HashFunction;

/// Say what the code of modules depends on, field by field
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache inspect 9f86d081884c7d65
  module-cache inspect --engine wasmtime 9f86d081884c7d65 | grep epoch

Of each entry that is selected, `hash`, `engine` with all of its digest, `bytes`
and `signed` are printed, then below `code`, indented, what the code says of the engine that compiled it:
the target, flags of the compiler, features of the CPU and of wasm, and what
wasmtime calls tunables. A salt is in the digest alone. Code of wasmer, and of
another version of wasmtime than this command's, is known by its engine alone.

Exit codes: 0 if everything that was asked for was found and can be used; 1 if not;
2 for a wrong command line; 141 if standard output was closed.")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,
}

/// Say why a file would be compiled again: which code of it there is, and what differs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache why app.wasm
  module-cache why --engine-config engine.toml app.wasm

The first line, if there is a cache folder, says whether the cache folder has code of the file that an engine
of this command can run, or of a program with the settings of --engine-config.
Then follows one line for each entry that is of another engine: the name of the
engine, and what of it differs.

Exit codes: 0 if there is such code; 1 if not; 2 for a wrong command line; 141 if
standard output was closed.")]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) engine: EngineNameArg,

    #[command(flatten)]
    pub(crate) engine_config: EngineConfigArg,

    /// The hash of the wasm that the code is to be found by
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
