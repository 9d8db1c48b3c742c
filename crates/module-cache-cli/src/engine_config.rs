//! The settings of an engine that is not the default, from a file.

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use wasmtime::Config;
use wasmtime_cli_flags::CommonOptions;

/// Options of the `wasmtime` command, as its `--config` takes them.
#[derive(Clone)]
pub(crate) struct EngineConfig(CommonOptions);

impl EngineConfig {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or has an option that this command's wasmtime does not know or was built without.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let read = || -> wasmtime::Result<Self> {
            let options = CommonOptions::from_file(path)?;
            options.clone().config(None)?;
            Ok(Self(options))
        };
        let explained = |error: wasmtime::Error| anyhow!("{error:#}");
        read()
            .map_err(explained)
            .with_context(|| format!("{} of --engine-config", path.display()))
    }

    /// A configuration of these settings.
    pub(crate) fn to_config(&self) -> Config {
        let config = self.0.clone().config(None);
        config.unwrap_or_else(|error| unreachable!("was a configuration when it was read: {error}"))
    }
}
