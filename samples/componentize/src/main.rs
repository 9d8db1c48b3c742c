//! Wraps a WASI preview 1 command into a component of WASI 0.2, with the adapter that wasmtime publishes.
//! `samples/build.sh` calls it as `componentize IN.wasm OUT.wasm`.

#![forbid(unsafe_code)]

use std::{env, fs};

use anyhow::{Context, Result, bail};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        bail!("usage: componentize IN.wasm OUT.wasm");
    };
    let module =
        fs::read(input).with_context(|| format!("cannot read {}", input.to_string_lossy()))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .context("this is no module that can become a component")?
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        )?
        .encode()?;
    fs::write(output, component)
        .with_context(|| format!("cannot write {}", output.to_string_lossy()))
}
