//! Remote storage on the command line: where it is, whom it is shared with, and the commands that copy the
//! cache to it and from it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;

use super::{CacheDirArg, REMOTE, SelectArgs, TrustArgs, variable};

/// Upload entries to a remote storage
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache push --remote s3://bucket/modules --key fleet.key
  module-cache push --remote redis://cache.internal/0/modules --key fleet.key \\
      --engine wasmtime-47

Uploads what `run` and `compile` would upload with --remote: all entries in the
cache folder, or those that are selected. Entries that are in the storage
already are skipped, so repeat an interrupted push to continue it. Of those, the
command verifies the length and the signature. `compile --remote` with an empty
--cache-dir reads them whole, and replaces damaged ones.

Each entry is compressed and signed with the key. Anybody who can write to the
storage can add entries, but only signed ones are used. See `run --help` for
keys and for the names of storages.

With --index, the command also writes a list of all entries there that the key
has signed, for those who `pull` from the same place over HTTP, such as a CDN.

With --json, the command prints a line for each entry that could not be stored,
and a summary as the last line:
  {\"engine\",\"hash\",\"error\"}
  {\"stored\",\"present\",\"bytes\",\"failed\"}
`stored` is the number of new entries, `present` the number of entries that were
in the storage before, and `bytes` the size of the new ones.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR.

Exit codes: 0 if the storage has everything that was asked for; 1 if not; 2 for
a wrong command line; 141 if standard output was closed.")]
pub(crate) struct PushArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// Also write a list of all entries there, for `pull` over HTTP
    #[arg(long)]
    pub(crate) index: bool,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Download entries from a remote storage
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache pull --remote s3://bucket/modules --key fleet.key
  module-cache pull --remote s3://bucket/modules --key fleet.key --engine wasmtime-47

Downloads all entries in the storage, for any engine and machine, or those that
are selected. Entries that are in the cache folder already are skipped, so
repeat an interrupted pull to continue it.

This installs machine code, which later runs execute. Each entry is verified
before it is stored: with a key, its signature; with --unauthenticated, only its
checksum. See `run --help` for keys and for the names of storages.

Redis cannot list its entries, and HTTP only where `push --index` has written a
list. With --remote, `run` and `compile` fetch what they need from these, too.

With --json, the command prints a line for each entry that could not be stored,
and a summary as the last line:
  {\"engine\",\"hash\",\"error\"}
  {\"stored\",\"present\",\"bytes\",\"failed\"}
`stored` is the number of new entries, `present` the number of entries that were
in the cache before, and `bytes` the size of the new ones.

The cache folder is the one that --cache-dir names, or else MODULE_CACHE_DIR. It
is created if it does not exist.

Exit codes: 0 if the cache has everything that was asked for; 1 if not; 2 for a
wrong command line; 141 if standard output was closed.")]
pub(crate) struct PullArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RemoteArgs {
    #[arg(
        long,
        value_name = "URI",
        help = "A storage that machines share, such as s3://bucket/prefix [default: the value of \
                MODULE_CACHE_REMOTE]"
    )]
    remote: Option<RemoteUri>,

    #[command(flatten)]
    pub(crate) trust: TrustArgs,
}

/// What a command says that has to be compiled in, and is not.
pub(crate) const NOT_BUILT: &str =
    "this command was built without remote storage; build it with `--features remote`";

impl RemoteArgs {
    /// The storage that the command line names, or else the environment.
    ///
    /// # Errors
    ///
    /// When the environment names one that is not known here.
    pub(crate) fn uri(&self) -> Result<Option<RemoteUri>> {
        match (&self.remote, variable(REMOTE)) {
            (Some(uri), _) => Ok(Some(uri.clone())),
            (None, Some(value)) => {
                let uri = value.to_string_lossy().parse();
                uri.map(Some).map_err(anyhow::Error::msg).context(REMOTE)
            }
            (None, None) => Ok(None),
        }
    }

    /// What is wrong with the options together.
    pub(super) fn objection(&self) -> Option<&'static str> {
        match (self.is_named(), self.trust.is_given()) {
            (true, false) if self.trust.is_missing() => Some(
                "a remote storage holds machine code that those who share it run; name the key that \
                 it is signed with by --key FILE (`module-cache key new` makes one) or in \
                 MODULE_CACHE_KEY, or use --unauthenticated",
            ),
            (false, true) => {
                Some("--key and --unauthenticated need a remote storage; name it with --remote")
            }
            _ => None,
        }
    }

    /// The same for a command that does nothing without a storage.
    pub(super) fn objection_if_required(&self) -> Option<&'static str> {
        if self.is_named() {
            self.objection()
        } else {
            Some("name a remote storage with --remote, as in s3://bucket/prefix")
        }
    }

    fn is_named(&self) -> bool {
        self.remote.is_some() || variable(REMOTE).is_some()
    }
}

/// The name of a remote storage, of a kind that is known. It may hold a password.
#[derive(Clone)]
pub(crate) struct RemoteUri(String);

/// The kinds of storages, in every build that has any.
const SCHEMES: [&str; 9] = [
    "azblob", "fs", "gcs", "http", "https", "oci", "redis", "rediss", "s3",
];

impl RemoteUri {
    #[cfg(feature = "remote")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of the storage: all of the name that can be shown.
    pub(crate) fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for RemoteUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if cfg!(not(feature = "remote")) {
            return Err(NOT_BUILT.into());
        }
        let uri = Self(text.to_owned());
        match uri.scheme() {
            "" => Err("a storage is named by a URI, as in s3://bucket/prefix".into()),
            scheme if !SCHEMES.contains(&scheme) => Err(format!(
                "storages of the kind `{scheme}` are not supported; supported are {}",
                SCHEMES.join(", ")
            )),
            _ => Ok(uri),
        }
    }
}

impl fmt::Debug for RemoteUri {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}://…", self.scheme())
    }
}
