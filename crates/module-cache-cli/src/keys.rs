//! Whose entries are believed: those of who has a key, which is in a file or in the environment, or everybody's.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use module_cache::backend::{KeyId, SharedKey, SigningKey, Trust, VerifyingKey};

use crate::args::{KEY, TrustArgs, variable};
use crate::messages;

/// What the command line says, or else the environment.
///
/// # Errors
///
/// When the key cannot be had, or nothing was said.
pub(crate) fn trust(args: &TrustArgs) -> Result<Trust> {
    if let Some(path) = &args.key {
        return Ok(trust_in(read(path)?));
    }
    if args.unauthenticated {
        return Ok(unauthenticated());
    }
    match variable(KEY) {
        Some(value) => {
            let keys = parse(value.as_encoded_bytes());
            let keys = keys.map_err(|error| {
                if Path::new(&value).exists() {
                    anyhow!(
                        "it holds the name of a file; name that with --key, or set the variable to the key's text"
                    )
                } else {
                    error
                }
            });
            Ok(trust_in(keys.context(KEY)?))
        }
        None => bail!("neither --key nor --unauthenticated was given"),
    }
}

#[expect(
    unsafe_code,
    reason = "only the user can know who writes there, and has said so"
)]
fn unauthenticated() -> Trust {
    // SAFETY: the one caller was told `--unauthenticated`, of which the help says that everybody who can
    // write to the bundle or the storage may then run code: whoever says it vouches for them.
    unsafe { Trust::unauthenticated() }
}

/// A key file has a few lines. What is longer is something else, and may have no end.
const LONGEST: u64 = 4096;

/// A key in a file.
pub(crate) enum Key {
    Shared(SharedKey),
    Secret(SigningKey),
    Public(VerifyingKey),
}

impl Key {
    /// What it is known by: both halves of a pair have the same.
    pub(crate) fn id(&self) -> KeyId {
        match self {
            Self::Shared(key) => key.id(),
            Self::Secret(key) => key.verifying_key().id(),
            Self::Public(key) => key.id(),
        }
    }
}

/// The keys in a file, of which there is at least one.
///
/// # Errors
///
/// When it cannot be read, or has something else in it.
pub(crate) fn read(path: &Path) -> Result<Vec<Key>> {
    try_read(path).with_context(|| format!("the key file {}", path.display()))
}

fn try_read(path: &Path) -> Result<Vec<Key>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("no such file; `module-cache key new` makes one")
        }
        file => file.context("cannot be opened")?,
    };
    let mut text = Vec::new();
    (&file)
        .take(LONGEST)
        .read_to_end(&mut text)
        .context("cannot be read")?;
    let keys = parse(&text)?;
    if keys.iter().any(|key| !matches!(key, Key::Public(_))) {
        warn_if_others_can_read(path, &file);
    }
    Ok(keys)
}

/// Keys with white space between them.
fn parse(text: &[u8]) -> Result<Vec<Key>> {
    const WRONG: &str = "not a key; `module-cache key new` makes one";
    let text = str::from_utf8(text).ok().context(WRONG)?;
    let key = |text: &str| {
        let shared = text.parse().map(Key::Shared);
        shared
            .or_else(|_| text.parse().map(Key::Secret))
            .or_else(|_| text.parse().map(Key::Public))
    };
    let keys: Result<Vec<Key>, _> = text.split_whitespace().map(key).collect();
    let keys = keys.ok().context(WRONG)?;
    if keys.is_empty() {
        bail!(WRONG);
    }
    Ok(keys)
}

/// The first key signs, if it is a secret one; all are accepted.
fn trust_in(keys: Vec<Key>) -> Trust {
    let mut trust = None;
    for key in keys {
        trust = Some(match (trust, key) {
            (None, Key::Shared(key)) => Trust::shared(key),
            (None, Key::Secret(key)) => Trust::signed(key),
            (None, Key::Public(key)) => Trust::signed_by([key]),
            (Some(trust), Key::Shared(key)) => Trust::accepting(trust, key),
            (Some(trust), Key::Secret(key)) => Trust::accepting(trust, key.verifying_key()),
            (Some(trust), Key::Public(key)) => Trust::accepting(trust, key),
        });
    }
    trust.unwrap_or_else(|| unreachable!("there is at least one key"))
}

fn warn_if_others_can_read(path: &Path, file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let Ok(metadata) = file.metadata()
            && metadata.is_file()
            && metadata.mode() & 0o044 != 0
        {
            static WARNED: std::sync::Once = std::sync::Once::new();
            let warning = || {
                messages::warning(format_args!(
                    "others can read the key file {0}; run `chmod go= {0}`",
                    path.display()
                ));
            };
            WARNED.call_once(warning);
        }
    }
    #[cfg(not(unix))]
    let _ = (path, file);
}
