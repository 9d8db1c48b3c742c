//! What the demo would be without the cache: the difference in size is what the cache adds to a page.

use js_sys::Promise;
use js_sys::WebAssembly::compile_streaming;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    fn fetch(url: &str) -> Promise;
}

/// Loads the module from `url`.
#[wasm_bindgen]
pub async fn load(url: &str) -> Result<String, JsValue> {
    JsFuture::from(compile_streaming(&fetch(url))).await?;
    Ok("compiled".to_owned())
}
