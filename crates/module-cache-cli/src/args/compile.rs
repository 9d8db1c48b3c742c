//! The command that fills the cache, and the engines that it can fill it for.

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use module_cache_wasmtime::CpuLevel;
use wasmtime::Config;

use super::{CacheDirArg, RemoteArgs};
use crate::engine_config;
use crate::hash_function::HashFunction;

/// Fill the cache from files and folders, so that later runs find everything compiled
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache compile plugins/ tools/convert.wasm
  module-cache compile --json plugins/ | jq -r 'select(.source == \"compiled\") | .path'
  module-cache compile --engine wasmer-cranelift --hash sha256 /srv/wasix
  module-cache compile --remote redis://cache.internal/0/modules --key key build/
  module-cache compile --cpu x86-64-v3 plugins/
  module-cache compile --target aarch64-unknown-linux-gnu plugins/
  MODULE_CACHE_DIR=/srv/modules module-cache compile -j 2 /srv/app

In a folder, the command compiles all .wasm and .wat files at any depth, modules
and components alike. Links to folders are not followed. If a file cannot be
compiled, an error is reported and the other files are compiled.

Code of wasmtime is for programs with the wasmtime version of this command, with
default settings or those of --engine-config: a TOML file in the format of the
`wasmtime` command, such as
  [wasm]
  epoch-interruption = true
`ls` prints the name of the engine, and `why` how two engines differ. `run`
finds code under the BLAKE3 of the wasm, the default of --hash.

Code of wasmer is for programs with a wasmer engine of the same version and
compiler, with the compiler's default settings, on a machine like this one.
Programs that use wasmer-wasix find it under the SHA-256. Components are for
wasmtime only. To compile for wasmer, build this command with `--features
wasmer`, or with `--features wasmer-singlepass` for both of its compilers.

The hash of a text file is that of its binary form.

By default, code is for CPUs with the features of this machine's CPU. With --cpu
it is for all CPUs of a level: x86-64-v3 are CPUs with AVX2, x86-64-v2 those
with SSE4.2, and x86-64 and aarch64 all CPUs of the architecture. `run` prefers
code for this very CPU, and otherwise uses code of a level that the CPU can run;
other programs use the levels that they accept. `ls` prints the level, and the
system of --target. To compile for another architecture than this machine's,
build the command with `--features all-arch`.

With --json, the command prints one of these lines for each file:
  {\"path\",\"hash\",\"engine\",\"source\",\"elapsed_us\",\"bytes\"}
  {\"path\",\"error\"}
`hash` and `engine` are as in `ls`, `source` is `compiled` or `stored` (it was
in the cache or in the remote storage), `elapsed_us` is the time until the code
was loaded, in microseconds, and `bytes` the size of its file in the cache.

With --remote, a file that is not in the cache folder is looked up in a storage
that several machines share, and code that is compiled is uploaded; see `run
--help`. When several machines do this at the same time, one of them compiles
each file. Code that was in the folder before is uploaded, too, if the storage
lacks it; of what it has, the command verifies the length and the signature. If
the storage does not work, the command prints a warning and goes on.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. It
is created for its user alone. With --world-readable, others can read it, and
can neither write to it nor take its locks. Others load code only from a folder
that root owns.

Exit codes: 0 if everything is in the cache, and in the remote storage; 1 if
not; 2 for a wrong command line; 141 if standard output was closed.")]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    #[command(flatten)]
    pub(crate) engine: EngineNameArg,

    /// Compile for all CPUs of this level [default: CPUs like this machine's, or all CPUs of --target]
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = PossibleValuesParser::new(CpuLevel::ALL.iter().map(|level| level.as_str()))
            .try_map(|name| name.parse::<CpuLevel>())
    )]
    pub(crate) cpu: Option<CpuLevel>,

    /// Compile for machines of this kind, such as aarch64-unknown-linux-gnu [default: machines like this one]
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,

    #[command(flatten)]
    pub(crate) engine_config: EngineConfigArg,

    /// The hash function of the key that the code is stored under
    #[arg(long, value_name = "FUNCTION", default_value = "blake3")]
    pub(crate) hash: HashFunction,

    /// Let every user of this machine read the cache, from now on
    #[arg(long)]
    pub(crate) world_readable: bool,

    /// The number of files to compile at the same time [default: the number of cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Files to compile, and folders to search
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

impl CompileArgs {
    /// What is wrong with them.
    pub(super) fn objection(&self) -> Option<&'static str> {
        let names_machines = self.cpu.is_some() || self.target.is_some();
        if names_machines && !matches!(self.engine.name, EngineName::Wasmtime) {
            return Some("--cpu and --target work only with --engine wasmtime");
        }
        let objection = self.engine_config.objection(self.engine.name);
        objection.or_else(|| self.remote.objection())
    }
}

#[derive(Debug, Args)]
pub(crate) struct EngineNameArg {
    /// The engine that will load the code
    #[arg(
        id = "engine",
        long,
        value_name = "ENGINE",
        default_value = "wasmtime",
        value_parser = PossibleValuesParser::new(ENGINES).try_map(|name| of_this_build(&name))
    )]
    pub(crate) name: EngineName,
}

/// The settings of the engine that is to load the code.
#[derive(Debug, Args)]
pub(crate) struct EngineConfigArg {
    /// A file with the settings of a program's wasmtime, in the format of the wasmtime command's --config
    #[arg(long, value_name = "FILE")]
    engine_config: Option<PathBuf>,
}

impl EngineConfigArg {
    /// What the file says, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no such file.
    pub(crate) fn read(&self) -> Result<Option<Config>> {
        let path = self.engine_config.as_deref();
        path.map(engine_config::read).transpose()
    }

    pub(super) fn objection(&self, engine: EngineName) -> Option<&'static str> {
        let is_for_wasmtime = matches!(engine, EngineName::Wasmtime);
        (self.engine_config.is_some() && !is_for_wasmtime)
            .then_some("--engine-config works only with --engine wasmtime")
    }
}

/// The names of all engines, in every build: one that lacks an engine can then say so.
const ENGINES: [&str; 3] = ["wasmtime", "wasmer-cranelift", "wasmer-singlepass"];

/// An engine of this build.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EngineName {
    Wasmtime,
    #[cfg(feature = "wasmer")]
    WasmerCranelift,
    #[cfg(feature = "wasmer-singlepass")]
    WasmerSinglepass,
}

/// The engine of a name that is one of [`ENGINES`].
fn of_this_build(name: &str) -> std::result::Result<EngineName, String> {
    EngineName::from_str(name, false).map_err(|_| {
        let feature = name.strip_suffix("-cranelift").unwrap_or(name);
        format!("this command was built without {name}; build it with `--features {feature}`")
    })
}
