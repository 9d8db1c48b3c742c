//! `module-cache completions`: what makes a shell complete this command.

use anyhow::Result;
use clap_complete::{Shell, generate};

use crate::args::{self, CompletionsArgs, CompletionsShell};
use crate::output;

/// Runs the command and returns its exit code.
///
/// # Errors
///
/// When nothing can be printed.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8> {
    let shell = match args.shell {
        CompletionsShell::Bash => Shell::Bash,
        CompletionsShell::Zsh => Shell::Zsh,
        CompletionsShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut args::definition(), "module-cache", &mut script);
    output::print(&script)?;
    output::flush()?;
    Ok(0)
}
