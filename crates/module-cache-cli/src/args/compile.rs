//! The command that fills the cache, and the engines that it can fill it for.

use std::path::PathBuf;

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use module_cache_wasmtime::CpuLevel;

use super::{CacheDirArg, RemoteArgs};
use crate::engine_config::EngineConfig;
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

Of a folder, all .wasm and .wat files at any depth are taken, modules and
components alike. Links to folders are not followed. A file that cannot be
compiled is reported, and the others are compiled.

What is stored is for programs with the same wasmtime as this command's, with its
default settings or those of --engine-config: a TOML file as the `wasmtime` command
takes it, such as
  [wasm]
  epoch-interruption = true
`ls` prints the name of the engine, and a program its own; `why` says what differs
between two. `run` looks for code of wasmtime under the BLAKE3 of the wasm, which is what is
stored by default. Code of wasmer is for programs with a wasmer engine of the
same version and compiler, with the compiler's default settings, on a machine
like this one. Those that use wasmer-wasix look for it under the SHA-256. Of a
text, it is the binary form that is hashed. Components are for wasmtime only,
and to compile for wasmer this command must be built with `--features wasmer`,
or with `--features wasmer-singlepass` for both of its compilers.

Code is for CPUs with the features of this machine's. With --cpu it is for all of
a level: x86-64-v3 are CPUs with AVX2, x86-64-v2 those with SSE4.2, and x86-64 and
aarch64 all of their kind. `run` takes code of each level that its CPU can run,
where there is none for this very CPU, and a program takes that of the levels it
accepts. `ls` shows the level, and the system of --target. Another architecture
than this machine's takes a build with `--features all-arch`.

With --json, every file gives one line on standard output, either of
  {\"path\",\"hash\",\"engine\",\"source\",\"elapsed_us\",\"bytes\"}
  {\"path\",\"error\"}
where `hash` and `engine` are those that `ls` prints, `source` is `compiled` or
`stored` (it was in the cache or in the remote storage), `elapsed_us` is the
time until there was machine code, in microseconds, and `bytes` the
size of its file in the cache.

With --remote, what is not in the cache folder is looked for in a storage that
machines share, and what is compiled is uploaded; see `run --help`. Of several
machines that do so at a time, one compiles each file. What was in the folder
before is not uploaded: `push` does that. A storage that does not work is a
warning.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. It is
created for its user alone; with --world-readable, others can read it, and
neither write to it nor take its locks. They load from one that is root's.

Exit codes: 0 if everything is in the cache now, and in the remote storage; 1 if
not; 2 for a wrong command line; 141 if standard output was closed.")]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    #[command(flatten)]
    pub(crate) engine: EngineNameArg,

    /// The CPUs that are to run the code: all of this level [default: those like this machine's, or all of --target]
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = PossibleValuesParser::new(CpuLevel::ALL.iter().map(|level| level.as_str()))
            .try_map(|name| name.parse::<CpuLevel>())
    )]
    pub(crate) cpu: Option<CpuLevel>,

    /// The machines that are to run the code, such as aarch64-unknown-linux-gnu [default: those like this one]
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,

    #[command(flatten)]
    pub(crate) engine_config: EngineConfigArg,

    /// The hash of the wasm that the code is to be found by
    #[arg(long, value_name = "FUNCTION", default_value = "blake3")]
    pub(crate) hash: HashFunction,

    /// Let every user of this machine read what is in the cache, now and later
    #[arg(long)]
    pub(crate) world_readable: bool,

    /// How many files to work on at a time [default: as many as there are cores]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Files, and folders to search
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

impl CompileArgs {
    /// What is wrong with them.
    pub(super) fn objection(&self) -> Option<&'static str> {
        let names_machines = self.cpu.is_some() || self.target.is_some();
        if names_machines && !matches!(self.engine.name, EngineName::Wasmtime) {
            return Some("--cpu and --target are for --engine wasmtime alone");
        }
        let objection = self.engine_config.objection(self.engine.name);
        objection.or_else(|| self.remote.objection())
    }
}

#[derive(Debug, Args)]
pub(crate) struct EngineNameArg {
    /// The engine that is to load the code
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
    /// The settings of a program's wasmtime, in a file that wasmtime's own command takes as its --config
    #[arg(long, value_name = "FILE")]
    engine_config: Option<PathBuf>,
}

impl EngineConfigArg {
    /// What the file says, if there is one.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is no such file.
    pub(crate) fn read(&self) -> Result<Option<EngineConfig>> {
        let path = self.engine_config.as_deref();
        path.map(EngineConfig::read).transpose()
    }

    pub(super) fn objection(&self, engine: EngineName) -> Option<&'static str> {
        let is_for_wasmtime = matches!(engine, EngineName::Wasmtime);
        (self.engine_config.is_some() && !is_for_wasmtime)
            .then_some("--engine-config is for --engine wasmtime alone")
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
