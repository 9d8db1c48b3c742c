//! The command line: every option, with the help that explains it.

mod bundle;
mod compile;
mod explain;
mod key;
mod maintenance;
mod remote;

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::messages;

pub(crate) use bundle::{ExportArgs, ImportArgs, TrustArgs};
pub(crate) use compile::{CompileArgs, EngineName};
pub(crate) use explain::{InspectArgs, WhyArgs};
pub(crate) use key::{KeyArgs, KeyCommand};
pub(crate) use maintenance::{
    CleanArgs, EngineArg, LsArgs, PruneArgs, SelectArgs, SizeArgs, SortKey, VerifyArgs,
};
#[cfg(not(feature = "remote"))]
pub(crate) use remote::NOT_BUILT;
pub(crate) use remote::{PullArgs, PushArgs, RemoteArgs};

/// Says, where the options do not, which folder the cache is.
pub(crate) const CACHE_DIR: &str = "MODULE_CACHE_DIR";

/// The URI of a remote storage. One with a password is better kept here: everybody can see command lines.
pub(crate) const REMOTE: &str = "MODULE_CACHE_REMOTE";

/// The keys of entries, themselves.
pub(crate) const KEY: &str = "MODULE_CACHE_KEY";

/// The value of an environment variable. An empty one counts as not set.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Parses the command line. Ends the process where that asks for help, or is wrong.
pub(crate) fn parse() -> Command {
    if let Some(args) = plain_run() {
        return Command::Run(args);
    }
    match CommandLine::try_parse().and_then(checked) {
        Ok(command) => command,
        Err(error) if is_help(&error) => error.exit(),
        Err(error) => {
            let first = env::args_os().nth(1).unwrap_or_default();
            messages::error(format_args!("{}; {}", in_one_line(&error), way_out(&first)));
            process::exit(2);
        }
    }
}

/// The arguments of `run`, if it is that and nothing is wrong with them: a program that starts does not wait for the
/// descriptions of all other commands.
fn plain_run() -> Option<RunArgs> {
    if env::args_os().nth(1)? != "run" {
        return None;
    }
    let run = RunArgs::augment_args(clap::Command::new("run"));
    let matches = run.try_get_matches_from(env::args_os().skip(1)).ok()?;
    let args = RunArgs::from_arg_matches(&matches).ok()?;
    args.objection().is_none().then_some(args)
}

/// The command line, for those who explain it in other ways.
pub(crate) fn definition() -> clap::Command {
    CommandLine::command()
}

/// The command, if its options go together in ways that clap does not know.
fn checked(line: CommandLine) -> Result<Command, clap::Error> {
    let objection = match &line.command {
        Command::Run(args) => args.objection(),
        Command::Compile(args) => args.objection(),
        Command::Why(args) => args.objection(),
        Command::Export(args) => args.objection(),
        Command::Import(args) => args.objection(),
        Command::Push(args) => args.remote.objection_if_required(),
        Command::Pull(args) => args.remote.objection_if_required(),
        _ => None,
    };
    match objection {
        None => Ok(line.command),
        Some(objection) => Err(definition().error(ErrorKind::MissingRequiredArgument, objection)),
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "module-cache",
    version,
    about = "Run WebAssembly without compiling it each time",
    long_about = "Run WebAssembly without compiling it each time.\n\n\
                  The first run of a program compiles it and stores the machine code. Later runs load that \
                  code, which takes a fraction of the time. It is stored in the user's cache folder, which \
                  holds at most 10 GiB: the least recently used entries are removed to make room.",
    after_help = EXAMPLES,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  module-cache run --timing samples/toolbox.wasm calc '6 * 7'
  module-cache compile build/
  module-cache ls --sort size
  module-cache prune --max-size 500MiB --max-age 30d
  module-cache export --key key -o warm.tar
  module-cache compile --remote s3://bucket/modules --key key build/

Environment:
  MODULE_CACHE_DIR          the cache folder, unless --cache-dir names one
                            (by default module-cache in the user's folder for caches)
  MODULE_CACHE_REMOTE       the remote storage, unless --remote names one
  MODULE_CACHE_KEY          the text of the key, unless --key or --unauthenticated
                            is given

`module-cache help COMMAND` describes a command: with examples, its exit codes,
and what --json prints. All commands can be used while programs run. --remote,
push and pull need a build with `--features remote`, and `--engine wasmer-…` one
with `--features wasmer` or `--features wasmer-singlepass`.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Compile(CompileArgs),
    Ls(LsArgs),
    Inspect(InspectArgs),
    Why(WhyArgs),
    Size(SizeArgs),
    Verify(VerifyArgs),
    Prune(PruneArgs),
    Clean(CleanArgs),
    Export(ExportArgs),
    Import(ImportArgs),
    Push(PushArgs),
    Pull(PullArgs),
    Key(KeyArgs),
    Dir(DirArgs),
    Completions(CompletionsArgs),
}

/// Run a WASI program: a preview 1 module or a component, binary or text
#[derive(Debug, Args)]
#[command(
    override_usage = "module-cache run [OPTIONS] FILE [ARGS]...",
    after_help = "\
Examples:
  module-cache run samples/toolbox.wasm calc '6 * 7'
  module-cache run --dir .::/work --env HOME=/work samples/toolbox.wasm ls /work
  module-cache run --timing samples/toolbox.wasm help
  module-cache run --tiered samples/toolbox.wasm help
  module-cache run --remote s3://bucket/modules --key key samples/toolbox.wasm help

The program has the standard input, output and error of this command. It can
access only files below the folders of --dir, and only variables of --env. All
arguments after FILE are the program's own.

With --timing, the command prints one line on standard error when the program
has ended:
  module-cache: SOURCE HASH load N.NNN ms total N.NNN ms
SOURCE is `compiled` or `stored` (it came from the cache), HASH is the BLAKE3 of
the wasm, `load` is the time until the code was loaded, and `total` the time
until the program ended.

With --tiered, Winch compiles a program that is not in the cache, several times
faster, and the program runs on that code. Meanwhile Cranelift compiles it for
later runs, which are as fast as without this option. The command ends when that
code is stored. Without a folder that can be written to, or a storage, only
Winch compiles. A program that Winch cannot compile waits for Cranelift. Winch
has had security advisories that Cranelift did not have: see docs/tiers.md.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. If
it cannot be used, the command prints a warning and runs the program without it.

With --remote, a program that is not in the folder is looked up in a storage
that several machines share, and then kept in the folder. Code that is compiled
is uploaded while the program runs, and for at most 5 seconds after that. If the
storage does not work, the command prints a warning and goes on without it. A
URI names the storage; after a question mark, it can have options of OpenDAL:
  s3://BUCKET/PREFIX?region=R&endpoint=URL    gcs://BUCKET/PREFIX
  azblob://CONTAINER/PREFIX?endpoint=URL      redis://HOST:PORT/DATABASE/PREFIX
  oci://REGISTRY/REPOSITORY                   fs:///FOLDER
  http://HOST/PATH (read-only)
Credentials are found where the service's own tools look for them, such as in
AWS_ACCESS_KEY_ID or where `docker login` stores them.

Entries are signed. A fetched entry is used only if it is signed with a key of
--key, both when it is fetched and later; --unauthenticated turns this off. To
change the key, insert the new one above the old one in the key file. If the old
key has leaked, replace it.

In a build without `--features remote`, --remote is an error.

Exit codes: the exit code of the program; 134 if it traps; 141 if standard
output was closed; 1 if the program cannot be run; 2 for a wrong command line."
)]
pub(crate) struct RunArgs {
    /// Let the program read and write HOST, which it sees as GUEST (by default, as HOST)
    #[arg(long = "dir", value_name = "HOST[::GUEST]", value_parser = DirParser)]
    pub(crate) dirs: Vec<MappedDir>,

    /// Set a variable in the program's environment, or pass on the one named K if it is set
    #[arg(long = "env", value_name = "K[=V]", value_parser = parse_variable)]
    pub(crate) env: Vec<Variable>,

    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// Compile the program without the cache: look nothing up and store nothing
    #[arg(long, conflicts_with_all = ["cache_dir", "remote", "key", "unauthenticated"])]
    pub(crate) no_cache: bool,

    /// If the program is not in the cache, run code of a fast compiler while the optimizing one works
    #[arg(long, conflicts_with = "no_cache")]
    pub(crate) tiered: bool,

    /// Print at the end where the code came from and how long it took
    #[arg(long)]
    pub(crate) timing: bool,

    /// The program (`-` for standard input), then its own arguments
    // One list, so that what follows FILE belongs to the program even where it looks like an option.
    #[arg(value_names = ["FILE", "ARGS"], required = true, trailing_var_arg = true, num_args = 1..)]
    pub(crate) file_and_args: Vec<OsString>,
}

impl RunArgs {
    /// What is wrong with the options together.
    fn objection(&self) -> Option<&'static str> {
        // The environment may well name a storage for all commands but this one.
        if self.no_cache {
            return None;
        }
        self.remote.objection()
    }

    /// The program's file, and its arguments.
    pub(crate) fn program(&self) -> (&Path, &[OsString]) {
        match self.file_and_args.split_first() {
            Some((file, args)) => (Path::new(file), args),
            None => (Path::new(""), &[]),
        }
    }
}

/// Print the cache folder
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache dir
  du -sh \"$(module-cache dir)\"

The folder is the one that --cache-dir names, or else MODULE_CACHE_DIR, or else
`module-cache` in the platform's folder for caches: $XDG_CACHE_HOME or ~/.cache
on Linux, ~/Library/Caches on macOS, and the local application data on Windows.
This command does not create it.")]
pub(crate) struct DirArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,
}

/// Print a script that completes this command in a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  source <(module-cache completions bash)
  module-cache completions zsh > \"${fpath[1]}/_module-cache\"
  module-cache completions fish > ~/.config/fish/completions/module-cache.fish

The first line is for this session of bash; put it into ~/.bashrc for all.")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: CompletionsShell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum CompletionsShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CacheDirArg {
    #[arg(
        long,
        value_name = "DIR",
        help = "The cache folder [default: what `module-cache dir` prints]"
    )]
    pub(crate) cache_dir: Option<PathBuf>,
}

/// A folder of the host, and the name that the program knows it by.
#[derive(Debug, Clone)]
pub(crate) struct MappedDir {
    pub(crate) host: PathBuf,
    pub(crate) guest: String,
}

/// An environment variable; without a value, the one that this process has.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
}

/// Takes `HOST::GUEST` apart. A host path need not be UTF-8 to be named alone.
#[derive(Debug, Clone)]
struct DirParser;

impl clap::builder::TypedValueParser for DirParser {
    type Value = MappedDir;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<MappedDir, clap::Error> {
        let (host, guest) = match value.to_str().and_then(|text| text.split_once("::")) {
            Some((host, guest)) => (Path::new(host), guest.to_owned()),
            None => (Path::new(value), value.to_string_lossy().into_owned()),
        };
        if host.as_os_str().is_empty() || guest.is_empty() {
            let message = format!(
                "--dir '{}' lacks a folder: it is HOST, or HOST::GUEST",
                value.display()
            );
            return Err(command.clone().error(ErrorKind::InvalidValue, message));
        }
        Ok(MappedDir {
            host: host.to_owned(),
            guest,
        })
    }
}

fn parse_variable(text: &str) -> Result<Variable, &'static str> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("a variable needs a name, as in NAME=value");
    }
    Ok(Variable {
        name: name.to_owned(),
        value,
    })
}

fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// What to do about a command line that is wrong, and begins with `first`.
fn way_out(first: &OsStr) -> String {
    let command = definition()
        .get_subcommands()
        .map(clap::Command::get_name)
        .find(|name| *name == first)
        .map(|name| format!(" {name}"));
    match command {
        None if Path::new(first).is_file() => {
            format!("`module-cache run {}` runs a program", first.display())
        }
        command => format!("see `module-cache help{}`", command.unwrap_or_default()),
    }
}

/// What clap says is wrong, without the usage that it prints below.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let end = ["\n\nUsage:", "\n\nFor more information"]
        .iter()
        .filter_map(|mark| text.find(mark))
        .min()
        .unwrap_or(text.len());
    let text = &text[..end];
    let paragraphs = text.strip_prefix("error: ").unwrap_or(text).split("\n\n");
    let paragraphs = paragraphs.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        definition().debug_assert();
    }
}
