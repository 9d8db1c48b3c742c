//! `plugin-host FOLDER NUMBER`: gives a number to every plugin of a folder.

#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use plugin_host::{Limits, PluginHost, Settings, Storage};

/// Gives a number to every plugin of a folder.
#[derive(Parser)]
struct Arguments {
    /// The folder with the plugins, `.wasm` or `.wat`
    plugins: PathBuf,
    /// What they are given
    number: i32,
    #[command(flatten)]
    storage: Storage,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let host = PluginHost::new(Settings::default(), arguments.storage.open()?)?;
    for mut plugin in host.load_folder(&arguments.plugins, Limits::default())? {
        let answer = plugin.transform(arguments.number);
        let answer = answer
            .map_err(|error| anyhow::Error::from_boxed(error.into()))
            .with_context(|| format!("{} failed", plugin.name()))?;
        let (name, source, elapsed) = (plugin.name(), plugin.source(), plugin.elapsed());
        println!("{name}: {answer} ({source} in {elapsed:.1?})");
    }
    Ok(())
}
