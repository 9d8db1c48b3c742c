//! Whose bundles are believed: those of who has a key, which is read from a file, or everybody's.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, bail};
use module_cache::{SigningKey, Trust};

use crate::args::TrustArgs;
use crate::messages;

/// What the command line says.
///
/// # Errors
///
/// When the key cannot be had, or nothing was said.
pub(crate) fn trust(args: &TrustArgs) -> Result<Trust> {
    match &args.signing_key {
        Some(path) => {
            Ok(Trust::signed(read(path).with_context(|| {
                format!("the signing key {}", path.display())
            })?))
        }
        None if args.unauthenticated => Ok(unauthenticated()),
        None => bail!("neither --signing-key nor --unauthenticated was given"),
    }
}

#[expect(
    unsafe_code,
    reason = "only the user can know who made a bundle, and has said so"
)]
fn unauthenticated() -> Trust {
    // SAFETY: the one caller was told `--unauthenticated`, of which the help says that everybody who can
    // write to the bundle may then run code: whoever says it vouches for them.
    unsafe { Trust::unauthenticated() }
}

/// A key file has one line. What is longer is something else, and may have no end.
const LONGEST: u64 = 4096;

fn read(path: &Path) -> Result<SigningKey> {
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
    match std::str::from_utf8(&text).ok().map(str::parse) {
        Some(Ok(key)) => {
            warn_if_others_can_read(path, &file);
            Ok(key)
        }
        _ => bail!("not a key, which is 64 hexadecimal digits; `openssl rand -hex 32` makes one"),
    }
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
