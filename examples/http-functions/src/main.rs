//! `http-functions FUNCTIONS CACHE`: serves the functions of a folder.

#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use http_functions::{Functions, router};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

/// Serves the WebAssembly functions of a folder over HTTP, each under its name, and `/metrics`.
#[derive(Parser)]
struct Arguments {
    /// The folder with the functions, `.wasm` or `.wat`
    functions: PathBuf,
    /// The folder for compiled functions, shared by any number of servers
    cache: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Bytes of compiled functions that stay in memory
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    memory: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Before there is a loader, which keeps its counters for life.
    let metrics = PrometheusBuilder::new().install_recorder()?;
    module_cache_loader::describe_metrics();
    let functions = Functions::open(
        &arguments.functions,
        &arguments.cache,
        arguments.memory,
        Handle::current(),
    )?;
    let listener = TcpListener::bind(arguments.listen).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, router(Arc::new(functions), metrics)).await?;
    Ok(())
}
