//! Whose entries are believed: those of who has a key, which is in a file or in the environment, or everybody's.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use module_cache::backend::{SharedKey, Trust};

use crate::args::{SIGNING_KEY, TrustArgs, variable};
use crate::messages;

/// What the command line says, or else the environment.
///
/// # Errors
///
/// When the key cannot be had, or nothing was said.
pub(crate) fn trust(args: &TrustArgs) -> Result<Trust> {
    if let Some(path) = &args.signing_key {
        return read(path).with_context(|| format!("the signing key {}", path.display()));
    }
    if args.unauthenticated {
        return Ok(unauthenticated());
    }
    match variable(SIGNING_KEY) {
        Some(value) => parse(value.as_encoded_bytes()).context(SIGNING_KEY),
        None => bail!("neither --signing-key nor --unauthenticated was given"),
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

fn read(path: &Path) -> Result<Trust> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("no such file; `openssl rand -hex 32` makes a key")
        }
        file => file.context("cannot be opened")?,
    };
    let mut text = Vec::new();
    (&file)
        .take(LONGEST)
        .read_to_end(&mut text)
        .context("cannot be read")?;
    let trust = parse(&text)?;
    warn_if_others_can_read(path, &file);
    Ok(trust)
}

/// Keys with white space between them: the first signs, and all are accepted.
fn parse(text: &[u8]) -> Result<Trust> {
    const WRONG: &str =
        "not a key, which is 64 hexadecimal digits; `openssl rand -hex 32` makes one";
    let text = str::from_utf8(text).ok().context(WRONG)?;
    let keys: Result<Vec<SharedKey>, _> = text.split_whitespace().map(str::parse).collect();
    let mut keys = keys.ok().context(WRONG)?.into_iter();
    let first = keys.next().context(WRONG)?;
    Ok(keys.fold(Trust::shared(first), Trust::accepting))
}

fn warn_if_others_can_read(path: &Path, file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let Ok(metadata) = file.metadata()
            && metadata.is_file()
            && metadata.mode() & 0o044 != 0
        {
            messages::warning(format_args!(
                "others can read the signing key {0}; `chmod go= {0}`",
                path.display()
            ));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, file);
}
