//! `module-cache key`: makes keys, and prints the half of a pair that may be public.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use module_cache::backend::{SharedKey, SigningKey};

use crate::args::{KeyArgs, KeyCommand};
use crate::keys::{self, Key};
use crate::output;

/// Runs the command and returns its exit code.
///
/// # Errors
///
/// When a file cannot be made or read, or has no pair, or nothing can be printed.
pub(crate) fn key(args: &KeyArgs) -> Result<u8> {
    match &args.command {
        KeyCommand::New(args) => new(&args.file, args.shared),
        KeyCommand::Public(args) => public(&args.file),
    }
    .map(|()| 0)
}

fn new(path: &Path, shared: bool) -> Result<()> {
    let context = || path.display().to_string();
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)
        .map_err(std::io::Error::from)
        .context("cannot get random numbers")?;
    let pair = SigningKey::from_bytes(secret);
    let text = if shared {
        SharedKey::from_bytes(secret).to_secret_text()
    } else {
        pair.to_secret_text()
    };
    let mut file = create(path)
        .context("cannot be created")
        .with_context(context)?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .context("cannot be written")
        .with_context(context)?;
    if !shared {
        output::print_line(pair.verifying_key().to_string().as_bytes())?;
    }
    output::flush()
}

/// A new file, for this user alone.
fn create(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn public(path: &Path) -> Result<()> {
    for key in keys::read(path)? {
        match key {
            Key::Secret(key) => output::print_line(key.verifying_key().to_string().as_bytes())?,
            Key::Public(key) => output::print_line(key.to_string().as_bytes())?,
            Key::Shared(_) => bail!(
                "{}: a shared key has no public half; `module-cache key new` makes a pair",
                path.display()
            ),
        }
    }
    output::flush()
}
