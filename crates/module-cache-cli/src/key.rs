//! `module-cache key`: makes keys, and prints the half of a pair that may be public.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use module_cache::backend::{KeyId, SharedKey, SigningKey};

use crate::args::{KeyArgs, KeyCommand};
use crate::keys::{self, Key};
use crate::{messages, output};

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
    let (text, id) = if shared {
        let key = SharedKey::from_bytes(secret);
        (key.to_secret_text(), key.id())
    } else {
        (pair.to_secret_text(), pair.verifying_key().id())
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
    note_id(id);
    output::flush()
}

/// On standard error, so that a file that standard output goes to has the key alone.
fn note_id(id: KeyId) {
    messages::note(format_args!("the id of the key is {id}"));
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
        let id = key.id();
        match key {
            Key::Secret(key) => output::print_line(key.verifying_key().to_string().as_bytes())?,
            Key::Public(key) => output::print_line(key.to_string().as_bytes())?,
            Key::Shared(_) => bail!(
                "{}: the shared key {id} has no public half; `module-cache key new` makes a pair",
                path.display()
            ),
        }
        note_id(id);
    }
    output::flush()
}
