//! The program of the demo page: loads a module through the cache.
//!
//! `cargo xtask browser --demo` builds it and serves it with the page.

use module_cache_core::ModuleHash;
use module_cache_memory::{InMemoryCache, in_memory};
use module_cache_web::{WebEngine, WebModuleLoader, fetch_wasm};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

thread_local! {
    /// Of this page or this worker: each starts the program anew.
    static LOADER: WebModuleLoader<InMemoryCache<WebEngine>> = WebModuleLoader::new(in_memory());
}

/// Loads the module with this hash, from `url` if it must be compiled, and says where it came from.
#[wasm_bindgen]
pub async fn load(url: &str, hash: &str) -> Result<String, JsError> {
    let hash: ModuleHash = hash.parse()?;
    let loader = LOADER.with(Clone::clone);
    let loaded = loader.load_with(hash, || fetch_wasm(url)).await?;
    Ok(loaded.source.to_string())
}
