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

A bundle is a tar file of machine code. Each entry is signed with the key, so
that import can verify with the same key, or its public half, who made it. With
--unauthenticated, each entry has a checksum, which detects damage and does not
prove who made the entry.

If a HASH or the engine is not in the cache, nothing is exported. FILE appears
when the bundle is complete. With `-o -`, the bundle is written to standard
output, and the report to standard error.

With --json, the command prints a line for each entry that was left out, and a
summary as the last line:
  {\"path\",\"reason\"}
  {\"entries\",\"bytes\",\"skipped\"}

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR.

Exit codes: 0 if the bundle has everything that was asked for; 1 if not; 2 for a
wrong command line; 141 if standard output was closed.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,

    /// The file to write the bundle to (`-` for standard output)
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
before it is stored. With a key, its signature is verified. With
--unauthenticated, only its checksum is verified, so anybody who could write to
the bundle can run code as you. Entries that are refused are reported, and the
others are stored.

With --json, the command prints a line for each member of the bundle that was
refused, and a summary as the last line:
  {\"member\",\"reason\"}
  {\"stored\",\"present\",\"bytes\",\"refused\"}
`stored` is the number of new entries, `present` the number of entries that were
in the cache before, and `bytes` the size of the new ones.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. It
is created if it does not exist.

Exit codes: 0 if the cache has everything in the bundle; 1 if something was
refused, or if the bundle is empty; 2 for a wrong command line; 141 if standard
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
        help = "The key that entries are signed with, in a file that `module-cache key new` made. Entries \
                signed with keys in further lines are accepted, too; a public key can only verify [default: \
                MODULE_CACHE_KEY, which holds the key's text]"
    )]
    pub(crate) key: Option<PathBuf>,

    /// Use no key: anybody who can write to the bundle or the storage can run code as those who read it
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
                 use --unauthenticated",
            );
        }
        let to_stdout = self.output == Path::new("-");
        (to_stdout && self.json)
            .then_some("--json cannot be used when the bundle is written to standard output")
    }
}

impl ImportArgs {
    /// What is wrong with the options together.
    pub(super) fn objection(&self) -> Option<&'static str> {
        self.trust.is_missing().then_some(
            "importing installs machine code that later runs execute; name the key that it must be \
             signed with by --key FILE or in MODULE_CACHE_KEY, or use \
             --unauthenticated if you trust everybody who could write to the bundle",
        )
    }
}
