//! Standard output, and what it means when nobody reads it any more.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Error, Result};
use serde::{Serialize, Serializer};

/// The exit code when standard output was closed: what a shell shows for a program that was ended by
/// SIGPIPE, as other commands are. Rust ignores that signal, so writes fail instead.
pub(crate) const CODE_OF_CLOSED_STDOUT: u8 = 128 + 13;

/// Whoever read standard output has seen enough. Not worth a message.
#[derive(Debug)]
pub(crate) struct StdoutClosed;

impl fmt::Display for StdoutClosed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("standard output was closed")
    }
}

impl std::error::Error for StdoutClosed {}

/// Prints bytes as they are.
///
/// # Errors
///
/// As for [`print_line`].
pub(crate) fn print(bytes: &[u8]) -> Result<()> {
    checked(io::stdout().lock().write_all(bytes))
}

/// Prints bytes and a line break.
///
/// # Errors
///
/// [`StdoutClosed`], or another reason why nothing can be written.
pub(crate) fn print_line(line: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    checked(
        stdout
            .write_all(line)
            .and_then(|()| stdout.write_all(b"\n")),
    )
}

/// Writes what is buffered.
///
/// # Errors
///
/// As for [`print_line`].
pub(crate) fn flush() -> Result<()> {
    checked(io::stdout().flush())
}

/// Lets something write to standard output that has errors of its own.
///
/// # Errors
///
/// As for [`print_line`], and those of `write`.
pub(crate) fn write_by<T, E: Into<Error>>(
    write: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<T> {
    let mut stdout = WatchedStdout { closed: false };
    match write(&mut stdout) {
        Err(_) if stdout.closed => Err(StdoutClosed.into()),
        outcome => outcome.map_err(Into::into),
    }
}

/// Standard output, and whether it turned out to be closed.
struct WatchedStdout {
    closed: bool,
}

impl WatchedStdout {
    fn watch<T>(&mut self, outcome: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &outcome {
            self.closed |= error.kind() == ErrorKind::BrokenPipe;
        }
        outcome
    }
}

impl Write for WatchedStdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let outcome = io::stdout().write(bytes);
        self.watch(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        let outcome = io::stdout().flush();
        self.watch(outcome)
    }
}

fn checked(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        outcome => outcome.context("cannot write to standard output"),
    }
}

/// Prints an object of `--json`, in a line.
///
/// # Errors
///
/// As for [`print_line`].
pub(crate) fn print_json(object: &impl Serialize) -> Result<()> {
    print_line(&serde_json::to_vec(object)?)
}

/// Files, as `--json` names them.
pub(crate) fn names(files: &[PathBuf]) -> Vec<String> {
    let names = files.iter().map(|file| file.to_string_lossy().into_owned());
    names.collect()
}

/// Writes a field of `--json` as what it is printed as.
pub(crate) fn as_text<S: Serializer>(
    value: &impl Display,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
