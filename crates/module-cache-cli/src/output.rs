//! Standard output, and what it means when nobody reads it any more.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};

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

fn checked(outcome: io::Result<()>) -> Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
        outcome => outcome.context("cannot write to standard output"),
    }
}
