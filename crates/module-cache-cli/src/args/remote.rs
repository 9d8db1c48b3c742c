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

Uploads what `run` and `compile` would upload with --remote: all that is in the
cache folder, or the entries that are named. What is in the storage already is
passed over, so a push that was interrupted goes on when it is repeated.

Each entry is compressed and signed with the key. Whoever can write to the
storage can add entries, and only those that were signed are used; see
`run --help` for keys, and for how storages are named.

With --index, a list of all that the key has signed there is written beside it,
for those who `pull` from the same place over HTTP, as through a CDN.

With --json, every entry that is not in the storage gives one line, and the last
line is a summary:
  {\"engine\",\"hash\",\"error\"}
  {\"stored\",\"present\",\"bytes\",\"failed\"}
where `stored` counts entries that are new, `present` those that were there
before, and `bytes` is what the new ones take.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR.

Exit codes: 0 if the storage has all that was asked for; 1 if not; 2 for a wrong
command line; 141 if standard output was closed.")]
pub(crate) struct PushArgs {
    #[command(flatten)]
    pub(crate) cache_dir: CacheDirArg,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,

    /// Also write a list of all that is there, for `pull` over HTTP
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

Downloads everything that is in the storage, for whatever engine and machine, or
the entries that are named. What is in the cache folder already is passed over,
so a pull that was interrupted goes on when it is repeated.

This installs machine code, which later runs execute. Each entry is verified
before it is stored: with a key, that its owner made it; with --unauthenticated,
only that it is whole. See `run --help` for keys, and for how storages are named.
Redis cannot tell what it has, and HTTP only where `push --index` has written a
list: `run` and `compile` with --remote fetch from them what they need.

With --json, every entry that is not in the cache gives one line, and the last
line is a summary:
  {\"engine\",\"hash\",\"error\"}
  {\"stored\",\"present\",\"bytes\",\"failed\"}
where `stored` counts entries that are new, `present` those that were in the
cache before, and `bytes` is what the new ones take.

The cache folder is that of --cache-dir, else that of MODULE_CACHE_DIR. It is
created if it does not exist.

Exit codes: 0 if the cache has all that was asked for; 1 if not; 2 for a wrong
command line; 141 if standard output was closed.")]
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
        help = "A storage that machines share, as in s3://bucket/prefix [default: that of \
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
                "what is in a remote storage is machine code that those who share it run; name the key that \
                 it is signed with by --key FILE (`module-cache key new` makes one) or in \
                 MODULE_CACHE_KEY, or say --unauthenticated",
            ),
            (false, true) => Some(
                "--key and --unauthenticated are about a remote storage; name it with --remote",
            ),
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
                "storages of the kind `{scheme}` are not known; known are {}",
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
