//! The objects of `--json`: one a line, on standard output.

use std::fmt::Display;

use anyhow::Result;
use serde::{Serialize, Serializer};

use crate::output;

/// Prints an object.
///
/// # Errors
///
/// As for [`output::print_line`].
pub(crate) fn print(object: &impl Serialize) -> Result<()> {
    output::print_line(&serde_json::to_vec(object)?)
}

/// Writes a field as what it is printed as.
pub(crate) fn as_text<S: Serializer>(
    value: &impl Display,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
