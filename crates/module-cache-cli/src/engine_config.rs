//! The settings of an engine that is not the default, from a file.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wasmtime::Config;
use wasmtime_cli_flags::CommonOptions;

/// Reads options of the `wasmtime` command, as its `--config` takes them.
///
/// # Errors
///
/// When the file cannot be read, or has an option that this command's wasmtime does not know or was built without.
pub(crate) fn read(path: &Path) -> Result<Config> {
    CommonOptions::from_file(path)
        .and_then(|mut options| options.config(None))
        .map_err(|error| anyhow!("{error:#}"))
        .with_context(|| format!("{} of --engine-config", path.display()))
}
