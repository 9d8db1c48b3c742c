//! The commands that move entries between caches, and what they must be told about trust.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{CacheDirArg, KEY, SelectArgs, variable};

/// Write entries to a bundle, for other machines to import
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache key new bundle.key > reader.key
  module-cache export --key bundle.key -o warm.tar
  module-cache export --unauthenticated --engine wasmtime-47 -o - | ssh HOST \\
      module-cache import --unauthenticated -

A bundle is a tar file of machine code. Each entry is signed with the key: who
has it, or its public half, knows on import who made them. With
--unauthenticated, each has a checksum, which finds damage and says nothing about
who made it.

Nothing is exported if a HASH or the engine is not in the cache. FILE gets its
name when all of it is written. With `-o -`, the bundle goes to standard output,
and the report to standard error.

With --json, every entry that was left out gives one line, and the last line is
a summary:
  {\"path\",\"reason\"}
  {\"entries\",\"bytes\",\"skipped\"}

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR.

Exit codes: 0 if the bundle has all that was asked for; 1 if not; 2 for a wrong
command line; 141 if standard output was closed.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,

    /// Where the bundle goes (`-` for standard output)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Store the entries of a bundle
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache import --key reader.key warm.tar
  curl -s https://example.com/warm.tar | module-cache import --key reader.key -

This installs machine code, which later runs execute. Each entry is verified
before it is stored: with the key, that its owner made it; with
--unauthenticated, only that it is whole, so whoever could write to the bundle
can run what they like as you. What is refused is told, and the rest is stored.

With --json, everything that was refused gives one line, and the last line is a
summary:
  {\"member\",\"reason\"}
  {\"stored\",\"present\",\"bytes\",\"refused\"}
where `stored` counts entries that are new, `present` those that were in the
cache before, and `bytes` is what the new ones take.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. It is
created if it does not exist.

Exit codes: 0 if all that is in the bundle is in the cache now; 1 if something
was refused, or nothing was in it; 2 for a wrong command line; 141 if standard
output was closed.")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,

    /// The bundle (`-` for standard input)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// One of them must be there, or a key in the environment.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    #[arg(
        long,
        value_name = "FILE",
        help = "The key that entries are signed with, in a file that `module-cache key new` made. What was \
                signed with keys in further lines is accepted, too; a public key signs nothing [default: \
                what is in MODULE_CACHE_KEY]"
    )]
    pub(crate) key: Option<PathBuf>,

    /// Use no key: everybody who can write to the bundle or the storage may run code as those who read it
    #[arg(long, conflicts_with = "key")]
    pub(crate) unauthenticated: bool,
}

impl TrustArgs {
    /// Whether nothing was said, here or in the environment.
    pub(super) fn is_missing(&self) -> bool {
        !self.is_given() && variable(KEY).is_none()
    }

    /// Whether something was said here.
    pub(super) fn is_given(&self) -> bool {
        self.key.is_some() || self.unauthenticated
    }
}

impl ExportArgs {
    /// What is wrong with the options together.
    pub(super) fn objection(&self) -> Option<&'static str> {
        if self.trust.is_missing() {
            return Some(
                "a bundle is machine code that those who import it run; name a key to sign it with by \
                 --key FILE (`module-cache key new` makes one) or in MODULE_CACHE_KEY, or \
                 say --unauthenticated",
            );
        }
        let to_stdout = self.output == Path::new("-");
        (to_stdout && self.json)
            .then_some("--json has no place to print to where the bundle goes to standard output")
    }
}

impl ImportArgs {
    /// What is wrong with the options together.
    pub(super) fn objection(&self) -> Option<&'static str> {
        self.trust.is_missing().then_some(
            "importing installs machine code that later runs execute; name the key that it must be \
             signed with by --key FILE or in MODULE_CACHE_KEY, or say \
             --unauthenticated if you trust everybody who could write to the bundle",
        )
    }
}
