//! Throughput of requests to resident functions, beside that of a build which holds its modules in a
//! static and has no cache.
//!
//! `cargo bench -p http-functions` (append `-- 3` for three rounds) prints the medians of interleaved
//! rounds, and the median of the rounds' ratios. Server and clients share the machine, and the process.

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery};
use axum::http::StatusCode;
use axum::routing::get;
use http_functions::{Answer, Functions, answer};
use module_cache_core::Engine;
use support::{Client, FUNCTIONS, mark, open, serve, serve_router, until, write_functions};
use wasmtime::Module;

const RESIDENT: u32 = 16;
const CLIENTS: u32 = 8;
/// Of each client, in each round.
const REQUESTS: u32 = 5_000;
const ROUNDS: usize = 21;

static MODULES: OnceLock<HashMap<String, Module>> = OnceLock::new();

#[tokio::main]
async fn main() {
    let rounds = std::env::args().find_map(|argument| argument.parse().ok());
    let keep = tempfile::tempdir().unwrap();
    write_functions(&keep.path().join("functions"));
    let budget = u64::from(RESIDENT) * weight_of_one(&open(keep.path(), 1 << 30)).await;
    let functions = Arc::new(open(keep.path(), budget));
    let cached = serve(Arc::clone(&functions)).await;
    let fixed = serve_fixed(&functions).await;

    // All of them, so that the cache has been full, and then those that are to be resident.
    visit(cached, FUNCTIONS).await;
    until(async || functions.loader().stats().pending_upgrades == 0).await;
    visit(cached, RESIDENT).await;
    let before = functions.loader().stats().best;
    let (mut cached_rates, mut fixed_rates, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds.unwrap_or(ROUNDS) {
        // Each goes first as often as the other.
        let (cached_rate, fixed_rate) = if round % 2 == 0 {
            let rate = rate(cached).await;
            (rate, self::rate(fixed).await)
        } else {
            let rate = rate(fixed).await;
            (self::rate(cached).await, rate)
        };
        cached_rates.push(cached_rate);
        fixed_rates.push(fixed_rate);
        ratios.push(cached_rate / fixed_rate);
    }
    let after = functions.loader().stats().best;
    assert_eq!(
        (after.stored, after.compiled),
        (before.stored, before.compiled),
        "a function was not resident"
    );
    println!("cached: {:.0} requests/s", median(&mut cached_rates));
    println!("static: {:.0} requests/s", median(&mut fixed_rates));
    println!("ratio:  {:.3}", median(&mut ratios));
}

/// The same server with its modules in a static.
async fn serve_fixed(functions: &Functions) -> SocketAddr {
    let mut modules = HashMap::new();
    for number in 0..RESIDENT {
        let name = format!("f{number}");
        let module = functions.module(&name).await.unwrap().unwrap();
        modules.insert(name, module);
    }
    MODULES.set(modules).unwrap();
    let router = Router::new()
        .route("/{function}", get(call_fixed).post(call_fixed))
        .layer(DefaultBodyLimit::max(64 << 10));
    serve_router(router).await
}

async fn call_fixed(Path(name): Path<String>, RawQuery(query): RawQuery, body: Bytes) -> Answer {
    match MODULES.get().and_then(|modules| modules.get(&name)) {
        Some(module) => answer(module, query, body).await,
        None => Err((StatusCode::NOT_FOUND, name)),
    }
}

/// Asks twice for each of the first `count` functions: asked for only once, it would be the next to leave.
async fn visit(server: SocketAddr, count: u32) {
    let mut client = Client::connect(server).await;
    for number in 0..2 * count {
        request(&mut client, number % count).await;
    }
}

/// Requests per second, of all clients together.
async fn rate(server: SocketAddr) -> f64 {
    let start = Instant::now();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|first| {
            tokio::spawn(async move {
                let mut client = Client::connect(server).await;
                for number in 0..REQUESTS {
                    request(&mut client, (first + number) % RESIDENT).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    f64::from(CLIENTS * REQUESTS) / start.elapsed().as_secs_f64()
}

async fn request(client: &mut Client, number: u32) {
    let answer = client.get(&format!("/f{number}?x")).await;
    assert_eq!(answer, (200, format!("x{}", mark(number))));
}

async fn weight_of_one(functions: &Functions) -> u64 {
    let _ = functions.module("f0").await.unwrap();
    until(async || functions.loader().stats().upgraded == 1).await;
    let module = functions.module("f0").await.unwrap().unwrap();
    functions.loader().best_engine().weight(&module).unwrap()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
