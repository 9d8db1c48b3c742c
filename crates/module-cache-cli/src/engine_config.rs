//! The settings of an engine that is not the default, from a file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use wasmtime::Config;
use wasmtime_cli_flags::CommonOptions;

/// In bytes. All options together take a few thousand.
const LONGEST: u64 = 1 << 20;

/// Reads options of the `wasmtime` command, as its `--config` takes them.
///
/// # Errors
///
/// When the file cannot be read, or has an option that this command's wasmtime does not know or was built without.
pub(crate) fn read(path: &Path) -> Result<Config> {
    let len = fs::metadata(path).map_or(0, |file| file.len());
    if len > LONGEST {
        bail!(
            "{} of --engine-config is larger than {LONGEST} bytes",
            path.display()
        );
    }
    CommonOptions::from_file(path)
        .and_then(|mut options| options.config(None))
        .map_err(|error| anyhow!("{error:#}"))
        .with_context(|| format!("{} of --engine-config", path.display()))
}
