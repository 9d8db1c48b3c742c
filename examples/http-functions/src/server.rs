//! What is at which path, and what goes wrong under which status.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use module_cache_loader::{record_cache_stats, record_tier_stats};
use wasmtime::Module;

use crate::{Functions, sandbox};

/// What a client gets: the function's answer, or what went wrong.
pub type Answer = Result<Vec<u8>, (StatusCode, String)>;

/// Bytes that a request may have.
const REQUEST_LIMIT: usize = 64 << 10;

/// The server: `/metrics`, and every function under its name.
pub fn router(functions: Arc<Functions>, metrics: PrometheusHandle) -> Router {
    let metrics = {
        let functions = Arc::clone(&functions);
        move || async move { render(&functions, &metrics) }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/{function}", get(call).post(call))
        .layer(DefaultBodyLimit::max(REQUEST_LIMIT))
        .with_state(functions)
}

/// Runs a function on the body of a request, or on its query where there is no body.
///
/// # Errors
///
/// With a status and a message for the client, when the function traps or takes too long.
pub async fn answer(module: &Module, query: Option<String>, body: Bytes) -> Answer {
    let request = match query {
        Some(query) if body.is_empty() => query.into(),
        _ => body,
    };
    match sandbox::run(module, &request).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err((
            StatusCode::GATEWAY_TIMEOUT,
            "the function took too long\n".to_owned(),
        )),
        Err(error) => Err(internal(format!("the function failed: {error:#}\n"))),
    }
}

async fn call(
    State(functions): State<Arc<Functions>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Answer {
    match functions.module(&name).await {
        Ok(Some(module)) => answer(&module, query, body).await,
        Ok(None) => Err((
            StatusCode::NOT_FOUND,
            format!("there is no function called {name}\n"),
        )),
        Err(error) => Err(internal(format!("{error:#}\n"))),
    }
}

/// Loader and caches count by themselves, and are asked when somebody wants to know.
fn render(functions: &Functions, metrics: &PrometheusHandle) -> String {
    let loader = functions.loader();
    record_tier_stats("functions", &loader.stats());
    let cache = loader.cache();
    record_cache_stats("memory", &cache.primary().stats());
    record_cache_stats("filesystem", &cache.fallback().stats());
    metrics.render()
}

fn internal(message: String) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, message)
}
