//! The commands that look at the cache folder and make it smaller.

use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};

use super::CacheDirArg;
use crate::selection::HashPrefix;
use crate::units::{parse_age, parse_size};

/// List what is in the cache, one line for each entry
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache ls --sort size | head
  module-cache ls --engine wasmtime-47
  module-cache ls --engine wasmer-cranelift
  module-cache ls --json | jq -r 'select(.bytes > 1e6) | .hash'

The columns are: the time since the entry was last used, as far as it is known;
its size; the time since it was stored; its engine; and the hash of its wasm
(BLAKE3, or the function of `compile --hash`). Nothing is printed for an empty
cache.

With --json, the command prints a line for each entry:
  {\"hash\",\"engine\",\"bytes\",\"stored\",\"last_use\"}
`bytes` is the size of its file in the cache, and times are in seconds since
1970.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. If
it does not exist, the cache is empty, and the folder is not created.

Exit codes: 0; 1 if the cache cannot be read; 2 for a wrong command line; 141 if
standard output was closed.")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) engine: EngineArg,

    /// The order of the lines
    #[arg(long, value_name = "BY", default_value = "use")]
    pub(crate) sort: SortKey,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SortKey {
    /// The most recently used first
    Use,
    /// The largest first
    Size,
    /// The oldest first
    Age,
}

/// Print the size of the cache, for each engine and in all, and its limit
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache size
  module-cache size --json | jq .bytes
  module-cache size --max-size 100GiB

Files are counted in whole blocks of 4 KiB, as the limit on the cache's size
counts them. Files in the folder that do not belong to the cache are not
counted; they are named on standard error.

The limit is stored in the folder, and all programs that use it obey the one
that was set last, by a program or by --max-size. If the cache is larger than a
new limit, the next save makes room, or `prune`.

With --json, the command prints one line:
  {\"folder\",\"entries\",\"bytes\",\"max_size\",\"engines\",\"unknown_files\"}
`max_size` is null if there is no folder, `engines` is a list of
{\"engine\",\"entries\",\"bytes\"}, and `unknown_files` a list of paths.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. If
it does not exist, the cache is empty, and the folder is not created.

Exit codes: 0; 1 if the cache cannot be read; 2 for a wrong command line; 141 if
standard output was closed.")]
pub(crate) struct SizeArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    /// Set the folder's limit; the folder is created if it does not exist
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Verify the checksum of every entry in the cache
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache verify
  module-cache verify --repair
  module-cache verify --json | jq -r 'select(.path) | .path'

The command reads all entries, on all cores, and reports faulty ones on standard
error. With --repair, it removes entries that are damaged or stored under the
wrong key; they are compiled again when they are needed. Entries that only this
command cannot use stay, such as files of other users.

With --json, the command prints a line for each faulty entry, and a summary as
the last line:
  {\"path\",\"reason\",\"removed\"}
  {\"entries\",\"bytes\",\"faults\",\"removed\",\"elapsed_us\",\"bytes_per_second\"}
`removed` is true or false in the first, and a number in the second.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. If
it does not exist, the cache is empty, and the folder is not created.

Exit codes: 0 if no entry is faulty, or if all faulty ones were removed; 1 if
faulty entries are left; 2 for a wrong command line; 141 if standard output was
closed.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    /// Remove entries that are unusable
    #[arg(long)]
    pub(crate) repair: bool,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove entries that were not used for long, and files left by dead processes
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache prune --max-size 500MiB
  module-cache prune --max-age 30d --dry-run
  module-cache prune --max-size 2G --max-age 1.5w

The least recently used entries are removed first. Programs that are running
keep what they have loaded. Without --max-size, the cache is reduced to its
limit, which `size` prints and sets. Without --max-age, age does not count.

A size is a number and a unit: KiB, MiB, GiB, TiB (powers of 1024), or KB, MB,
GB, TB (powers of 1000). An age is one or more numbers with units, such as
1d12h: s, m (minutes), h, d, w or y.

Files in the folder that do not belong to the cache are kept, and named on
standard error.

With --json, the command prints one line:
  {\"dry_run\",\"removed\",\"removed_bytes\",\"kept\",\"kept_bytes\",\"stuck\",\"stale_files\",\"unknown_files\"}
`removed` and `kept` are numbers of entries, `stuck` is the number of kept ones
that should have been removed and could not be, bytes are counted in whole
blocks of 4 KiB, `stale_files` is the number of files left by dead processes,
and `unknown_files` a list of paths.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. If
it does not exist, the cache is empty, and the folder is not created.

Exit codes: 0; 1 if the cache cannot be written to, or an entry cannot be
removed; 2 for a wrong command line; 141 if standard output was closed.")]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    /// Remove entries until the cache is no larger than this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,

    /// Remove entries that were not used for longer than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) max_age: Option<Duration>,

    /// Print what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove entries: all, those of an engine, or those of certain modules
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache clean
  module-cache clean --engine wasmtime-46
  module-cache clean 1f0d6ac4 \"$(b3sum --no-names app.wasm)\"

Without HASH and --engine, the command removes everything that belongs to the
cache, and files left by dead processes. With both, it removes the entries of
that engine that have one of those hashes. Without --engine, a module is removed
for all engines. Programs that are running keep what they have loaded.

A HASH or an engine that is not in the cache is an error; the others are
removed.

With --json, the command prints a line for each such error, and a summary as the
last line:
  {\"argument\",\"error\"}
  {\"removed\",\"removed_bytes\",\"stale_files\"}
`removed` is the number of entries, `removed_bytes` their size in whole blocks
of 4 KiB, and `stale_files` the number of files left by dead processes.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. If
it does not exist, the cache is empty, and the folder is not created.

Exit codes: 0 if everything that was named was in the cache; 1 if not; 2 for a
wrong command line; 141 if standard output was closed.")]
pub(crate) struct CleanArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArg,

    /// Only entries of these modules: their hashes, as `ls` prints them, or at least the first 8 digits
    #[arg(value_name = "HASH")]
    pub(crate) hashes: Vec<HashPrefix>,
}

impl SelectArgs {
    /// Whether nothing in particular is asked for.
    pub(crate) fn is_all(&self) -> bool {
        self.hashes.is_empty() && self.engine.engine.is_none()
    }
}

#[derive(Debug, Args)]
pub(crate) struct EngineArg {
    /// Only entries of this engine: its name, as `ls` prints it, or the beginning of that name; the version
    /// may be left out, as in wasmer-cranelift
    // An empty one would be the beginning of all, and is a variable that was not set.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) engine: Option<String>,
}
