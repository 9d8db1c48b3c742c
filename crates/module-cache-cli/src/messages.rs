//! What this command says about itself: always one line on standard error, marked as its own.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::iter;
use std::path::PathBuf;

/// Says what failed.
pub(crate) fn error(text: impl Display) {
    line(format_args!("error: {text}"));
}

/// Says what went wrong and was got around.
pub(crate) fn warning(text: impl Display) {
    line(format_args!("warning: {text}"));
}

/// Says what is worth knowing and not wrong.
pub(crate) fn note(text: impl Display) {
    line(format_args!("note: {text}"));
}

/// Names files that lie in the cache folder and are none of the cache's.
pub(crate) fn note_unknown_files(files: &[PathBuf]) {
    for file in files {
        note(format_args!(
            "{} does not belong to the cache and is left alone",
            file.display()
        ));
    }
}

/// Says something after the command's name.
pub(crate) fn line(text: impl Display) {
    let text = one_line(&text.to_string());
    // Where nobody listens there is nobody to tell, and `eprintln` would panic.
    let _ = writeln!(io::stderr(), "module-cache: {text}");
}

/// An error and what caused it.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The text without anything that would break its line or command a terminal: file names, and what
/// programs call their functions, may hold all of that.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for (at, part) in text.split('\n').enumerate() {
        let part = if at == 0 { part } else { part.trim_start() };
        if at > 0 {
            line.push(' ');
        }
        for character in part.chars() {
            if character.is_control() {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stays_on_its_line_and_commands_no_terminal() {
        assert_eq!(one_line("a\n  b\x1b[2Jc\r"), "a b\\u{1b}[2Jc\\r");
        assert_eq!(one_line("größer µ"), "größer µ");
    }
}
