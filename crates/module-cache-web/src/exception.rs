//! What JavaScript throws, as text: errors here can be sent and cloned, and a JavaScript value cannot be sent.

use js_sys::Error;
use wasm_bindgen::{JsCast, JsValue};

/// The name and message of an `Error`, and whatever there is of anything else that was thrown.
pub(crate) fn text_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<Error>() {
        Some(error) => error.to_string().into(),
        None => format!("{thrown:?}"),
    }
}
