//! Under load, with memory for a quarter of the functions: every answer is right, and nothing is compiled
//! twice.

mod support;

use std::sync::Arc;

use module_cache_core::{Compile, Engine};
use module_cache_wasmtime::EngineBuilder;
use support::{Client, FUNCTIONS, mark, open, serve, until, write_functions};

const RESIDENT: u64 = 16;
const CLIENTS: u32 = 8;
const REQUESTS: u32 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_function_is_compiled_twice_and_every_answer_is_right() {
    let keep = tempfile::tempdir().unwrap();
    write_functions(&keep.path().join("functions"));
    let functions = Arc::new(open(keep.path(), RESIDENT * weight_of_one()));
    let address = serve(Arc::clone(&functions)).await;

    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            tokio::spawn(async move {
                let mut client = Client::connect(address).await;
                // Every client asks for every function, in an order of its own.
                for request in 0..REQUESTS {
                    let function = (request * (2 * number + 1) + number) % FUNCTIONS;
                    let answer = client.get(&format!("/f{function}?{request}")).await;
                    assert_eq!(answer, (200, format!("{request}{}", mark(function))));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }

    let (memory, disk) = (
        functions.loader().cache().primary(),
        functions.loader().cache().fallback(),
    );
    until(async || functions.loader().stats().pending_upgrades == 0).await;
    until(async || disk.usage().unwrap().entries == u64::from(FUNCTIONS)).await;
    let stats = functions.loader().stats();
    assert_eq!(stats.best.compiled, u64::from(FUNCTIONS), "{stats:?}");
    for tier in [stats.fast, stats.best] {
        assert_eq!((tier.failed, tier.cache_errors), (0, 0), "{stats:?}");
    }
    assert!(stats.best.stored > 0, "there was memory for all: {stats:?}");
    assert_eq!(stats.failed_upgrades, 0);
    assert!(memory.len() as u64 <= RESIDENT);
}

/// What a function of [`write_functions`] weighs.
fn weight_of_one() -> u64 {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path().join("functions");
    write_functions(&folder);
    let engine = EngineBuilder::new(&http_functions::sandbox::config());
    let engine = engine.module_engine().unwrap();
    let wasm = wat::parse_file(folder.join("f0.wat")).unwrap();
    engine.weight(&engine.compile(&wasm).unwrap()).unwrap()
}
