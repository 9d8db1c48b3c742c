//! Running a function: what it is given, what it may use, and for how long.
//!
//! A function is a module that imports nothing and exports a `memory` and `handle`. The request lies at the
//! start of the memory; `handle` takes its length, puts the answer in its place and returns the answer's
//! length. Every request has an instance of its own.

use std::thread;
use std::time::Duration;

use tokio::time::timeout;
use wasmtime::error::Context;
use wasmtime::{Config, Engine, Instance, Module, Result, Store, StoreLimitsBuilder};

/// How long a function may take, waiting for the processor included.
pub const TIME_LIMIT: Duration = Duration::from_secs(1);

/// Bytes that a function's memory may grow to.
pub const MEMORY_LIMIT: usize = 16 << 20;

/// How long a function keeps a thread from other requests.
const TURN: Duration = Duration::from_millis(10);

/// How engines for functions are configured.
pub fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config
}

/// Starts the clock by which functions take turns, for as long as one of the engines is there. Functions of each engine
/// have a clock of their own, so all are ticked.
pub fn start_clock<'e>(engines: impl IntoIterator<Item = &'e Engine>) {
    let engines = engines.into_iter().map(Engine::weak);
    let mut engines: Vec<_> = engines.collect();
    thread::spawn(move || {
        while !engines.is_empty() {
            engines.retain(|engine| {
                let engine = engine.upgrade();
                engine.inspect(Engine::increment_epoch).is_some()
            });
            thread::sleep(TURN);
        }
    });
}

/// Runs a function on a request. `None` means that it took too long.
///
/// # Errors
///
/// When the function traps, or is none.
pub async fn run(module: &Module, request: &[u8]) -> Result<Option<Vec<u8>>> {
    match timeout(TIME_LIMIT, run_to_the_end(module, request)).await {
        Ok(answer) => answer.map(Some),
        Err(_elapsed) => Ok(None),
    }
}

async fn run_to_the_end(module: &Module, request: &[u8]) -> Result<Vec<u8>> {
    let limits = StoreLimitsBuilder::new()
        .memories(1)
        .memory_size(MEMORY_LIMIT)
        .table_elements(10_000)
        .build();
    let mut store = Store::new(module.engine(), limits);
    store.limiter(|limits| limits);
    // At the end of its turn it yields, and a time limit that is over drops it.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    let instance = Instance::new_async(&mut store, module, &[]).await?;
    let memory = instance
        .get_memory(&mut store, "memory")
        .context("it exports no `memory`")?;
    let handle = instance.get_typed_func::<u32, u32>(&mut store, "handle")?;
    memory.write(&mut store, 0, request)?;
    let request_len = u32::try_from(request.len())?;
    let answer_len = handle.call_async(&mut store, request_len).await?;
    let answer = memory.data(&store).get(..answer_len as usize);
    let answer = answer.context("its answer is longer than its memory")?;
    Ok(answer.to_vec())
}
