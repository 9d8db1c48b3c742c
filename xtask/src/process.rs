//! Running other programs: they share this terminal, and their failure is an error that names them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The cargo that runs this program, in `folder`.
pub(crate) fn cargo(folder: &Path) -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    cargo_at(cargo.as_ref(), folder)
}

/// Another cargo, in `folder`.
pub(crate) fn cargo_at(cargo: &Path, folder: &Path) -> Command {
    let mut command = Command::new(cargo);
    command.current_dir(folder);
    // What cargo tells the program it runs is not meant for the cargo that this program runs.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `command`, showing its line and its output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("    $ {}", line_of(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| not_started(command, &error))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line_of(command));
    }
    Ok(())
}

/// Runs `command` silently and returns its standard output; on failure the error has what it wrote.
pub(crate) fn capture(command: &mut Command) -> Result<Vec<u8>> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(command, &error))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!(
            "`{}` failed ({status}):\n{}",
            line_of(command),
            said.trim_end()
        );
    }
    Ok(stdout)
}

/// Runs a `cargo build` that tells what it does in JSON, and returns the programs that it built, by name.
pub(crate) fn executables(build: &mut Command) -> Result<BTreeMap<String, PathBuf>> {
    let messages = String::from_utf8(capture(build)?)?;
    let mut executables = BTreeMap::new();
    for message in messages.lines() {
        let message: Value =
            serde_json::from_str(message).context("cannot read what `cargo build` says")?;
        let name = message["target"]["name"].as_str();
        if let (Some(name), Some(path)) = (name, message["executable"].as_str()) {
            executables.insert(name.to_owned(), path.into());
        }
    }
    Ok(executables)
}

/// Fails when `program` cannot be started, saying what to install.
pub(crate) fn require(program: &str, argument: &str, package: &str) -> Result<()> {
    capture(Command::new(program).arg(argument))
        .map(drop)
        .with_context(|| {
            format!(
                "`{program}` does not work here; install it (on Debian: apt-get install {package})"
            )
        })
}

/// The command as one would type it, without its folder and environment.
fn line_of(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_stem()
        .unwrap_or(OsStr::new("?"));
    let mut line = program.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

fn not_started(command: &Command, error: &io::Error) -> anyhow::Error {
    anyhow::anyhow!("cannot start `{}`: {error}", line_of(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_wrote() {
        let error =
            capture(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with("`sh -c echo broken"), "{message}");
        assert!(
            message.contains("exit status: 3") && message.ends_with("broken"),
            "{message}"
        );
    }

    #[test]
    fn a_program_that_is_missing_is_an_error_with_the_package_to_install() {
        let error = require("no-such-program-here", "--version", "some-package").unwrap_err();
        assert!(
            error.to_string().contains("apt-get install some-package"),
            "{error:#}"
        );
    }
}
