//! `fetch`, in a page, worker or runtime.

use std::error::Error;

use js_sys::{Function, Promise, Reflect, global};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::exception::text_of;

/// Requests `url` with the `fetch` of this page, worker or runtime.
///
/// [`WebModuleLoader::load_with`](crate::WebModuleLoader::load_with) and [`WebEngine::compile`](crate::WebEngine::compile)
/// compile the response while it arrives.
///
/// # Errors
///
/// When there is no response, or it is an error such as 404.
pub fn fetch_wasm(url: &str) -> impl Future<Output = Result<Response, FetchError>> + use<> {
    let url = url.to_owned();
    async move {
        let failed = |source: String| FetchError {
            url: url.clone(),
            source: source.into(),
        };
        let response = fetch(&url)
            .await
            .map_err(|thrown| failed(text_of(&thrown)))?;
        if response.ok() {
            Ok(response)
        } else {
            Err(failed(format!("the server answered {}", response.status())))
        }
    }
}

/// A module could not be fetched.
#[derive(Debug, thiserror::Error)]
#[error("cannot fetch {url}")]
pub struct FetchError {
    url: String,
    source: Box<dyn Error + Send + Sync>,
}

async fn fetch(url: &str) -> Result<Response, JsValue> {
    // A page, a worker and Node have different global objects with this same function.
    let fetch: Function = Reflect::get(&global(), &"fetch".into())?.dyn_into()?;
    let answer: Promise = fetch.call1(&JsValue::UNDEFINED, &url.into())?.dyn_into()?;
    JsFuture::from(answer).await?.dyn_into()
}
