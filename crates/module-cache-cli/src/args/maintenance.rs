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

The columns are: how long ago the entry was last used, as far as that is
remembered; its size; how long ago it was stored; its engine; the hash of its
wasm, which is BLAKE3, or what `compile --hash` said. An empty cache has no
lines.

With --json, every entry gives one line,
  {\"hash\",\"engine\",\"bytes\",\"stored\",\"last_use\"}
where `bytes` is the size of its file in the cache, and the times are
seconds since 1970.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. One that
does not exist is an empty one, and is not created.

Exit codes: 0; 1 if the cache cannot be read; 2 for a wrong command line; 141 if
standard output was closed.")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) engine: EngineArg,

    /// The order
    #[arg(long, value_name = "BY", default_value = "use")]
    pub(crate) sort: SortKey,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SortKey {
    /// What was used last comes first
    Use,
    /// The largest comes first
    Size,
    /// What was stored longest ago comes first
    Age,
}

/// Say how much the cache takes, for each engine and in all, and how much it may
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache size
  module-cache size --json | jq .bytes
  module-cache size --max-size 100GiB

Files are counted in whole blocks of 4 KiB, as the limit on the size of the
cache counts them. What is in the folder and is none of the cache's is not
counted, and named on standard error.

The limit is the folder's: all programs that use it keep to the one that was set
last, by a program or by --max-size. Where it is less than what is there, the
next save makes room, or `prune`.

With --json, there is one line,
  {\"folder\",\"entries\",\"bytes\",\"max_size\",\"engines\",\"unknown_files\"}
where `max_size` is null if there is no folder, `engines` is a list of {\"engine\",\"entries\",\"bytes\"}, and `unknown_files`
one of paths.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. One that
does not exist is an empty one, and is not created.

Exit codes: 0; 1 if the cache cannot be read; 2 for a wrong command line; 141 if
standard output was closed.")]
pub(crate) struct SizeArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    /// Let the folder take so much from now on; it is created if it does not exist
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Compare everything in the cache with its checksum
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache verify
  module-cache verify --repair
  module-cache verify --json | jq -r 'select(.path) | .path'

All entries are read, on all cores. What is wrong with one is told on standard
error. With --repair, entries that are damaged, or in the place of another, are
removed, and compiled again when they are needed. What only this command
cannot use stays: others' property, and what was signed with a key.

With --json, every entry with which something is wrong gives one line, and the
last line is a summary:
  {\"path\",\"reason\",\"removed\"}
  {\"entries\",\"bytes\",\"faults\",\"removed\",\"elapsed_us\",\"bytes_per_second\"}
In the first `removed` is true or false, in the second it counts.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. One that
does not exist is an empty one, and is not created.

Exit codes: 0 if nothing is wrong, or all that was wrong is removed; 1 if
something wrong is in the cache; 2 for a wrong command line; 141 if standard
output was closed.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    /// Remove what is of no use to anybody
    #[arg(long)]
    pub(crate) repair: bool,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove what was not used for long, and what dead processes left
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache prune --max-size 500MiB
  module-cache prune --max-age 30d --dry-run
  module-cache prune --max-size 2G --max-age 1.5w

The entries that were used longest ago go first. Programs that run meanwhile
keep what they have loaded. Without --max-size, the cache is held to its limit,
which `size` shows and sets; without --max-age, age is no reason.

A size is a number and a unit: KiB, MiB, GiB, TiB, of 1024; KB, MB, GB, TB, of
1000. An age is numbers and units, as in 1d12h: s, m (minutes), h, d, w or y.

What is in the folder and is none of the cache's is left alone, and named on
standard error.

With --json, there is one line,
  {\"dry_run\",\"removed\",\"removed_bytes\",\"kept\",\"kept_bytes\",\"stuck\",\"stale_files\",\"unknown_files\"}
where `removed` and `kept` count entries, `stuck` those of the kept that should
go and cannot be removed, the bytes are in whole blocks of 4 KiB, `stale_files` counts files of dead processes, and `unknown_files` is a list of
paths.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. One that
does not exist is an empty one, and is not created.

Exit codes: 0; 1 if the cache cannot be written to, or an entry cannot be
removed; 2 for a wrong command line; 141 if standard output was closed.")]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    /// Remove entries until the others take no more than this
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,

    /// Remove entries that were not used for longer than this
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) max_age: Option<Duration>,

    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Remove entries: all, those of an engine, or those that are named
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache clean
  module-cache clean --engine wasmtime-46
  module-cache clean 1f0d6ac4 \"$(b3sum --no-names app.wasm)\"

Without HASH and --engine, everything is removed that is the cache's, and also
what dead processes left. With both, only what is of that engine and has one of
those hashes. A module that is stored for many engines is removed for all.
Programs that run meanwhile keep what they have loaded.

A HASH or an engine that the cache does not have is an error, and the others are
removed.

With --json, every such error gives one line, and the last line is a summary:
  {\"argument\",\"error\"}
  {\"removed\",\"removed_bytes\",\"stale_files\"}
where `removed` counts entries, `removed_bytes` what they took, in whole blocks
of 4 KiB, and `stale_files` files of dead processes.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. One that
does not exist is an empty one, and is not created.

Exit codes: 0 if all that was named was there; 1 if not; 2 for a wrong command
line; 141 if standard output was closed.")]
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

    /// Only these modules: their hashes, as `ls` prints them, or the first 8 or more digits
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
    /// Only what is of this engine: its name, as `ls` prints it, or the beginning of that; the version may
    /// be left out, as in wasmer-cranelift
    // An empty one would be the beginning of all, and is a variable that was not set.
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) engine: Option<String>,
}
