//! The WebAssembly of a browser as an engine.

use std::sync::LazyLock;

use js_sys::WebAssembly::{self, Module};
use js_sys::{Promise, WeakMap};
use module_cache_core::instance::EngineInstance;
use module_cache_core::{Engine, EngineError, EngineId};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::Wasm;
use crate::exception::text_of;

/// The engine behind the `WebAssembly` object of JavaScript.
///
/// Each thread has one, so this has no fields, and all values are the same engine.
///
/// Its modules cannot leave the thread: the [id](Engine::id) names no code that could be stored, and there is no
/// [`ArtifactEngine`](module_cache_core::ArtifactEngine).
///
/// ```no_run
/// # async fn example() -> Result<(), module_cache_core::EngineError> {
/// use module_cache_web::WebEngine;
///
/// let module = WebEngine.compile(&b"\0asm\x01\0\0\0"[..]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebEngine;

impl WebEngine {
    /// Compiles wasm without blocking this thread: `WebAssembly.compile` for bytes, and
    /// `WebAssembly.compileStreaming` for a response.
    ///
    /// # Errors
    ///
    /// When the wasm is not valid or uses what the browser does not support; when a response breaks off or is
    /// not of type `application/wasm`.
    pub async fn compile(&self, wasm: impl Into<Wasm>) -> Result<Module, EngineError> {
        let (compiling, len) = match wasm.into() {
            Wasm::Bytes(bytes) => (WebAssembly::compile(&bytes), Some(bytes.length().into())),
            Wasm::Response(response) => {
                let answer: &JsValue = &response;
                let compiling = WebAssembly::compile_streaming(&Promise::resolve(answer));
                (compiling, content_length(&response))
            }
        };
        let module: Module = JsFuture::from(compiling)
            .await
            .map_err(|thrown| EngineError::new("cannot compile the module", text_of(&thrown)))?
            .unchecked_into();
        if let Some(len) = len {
            LENGTHS.with(|lengths| lengths.set(&module, &JsValue::from(len)));
        }
        Ok(module)
    }
}

impl Engine for WebEngine {
    type Module = Module;

    fn id(&self) -> &EngineId {
        &IDENTITY.0
    }

    fn instance(&self) -> &EngineInstance {
        &IDENTITY.1
    }

    /// The length of the wasm in bytes: of a module that this type compiled, from bytes or from a response
    /// with a `Content-Length`.
    ///
    /// The size of the code is unknown; it is a multiple of that. For a compressed response, it is the length of the
    /// compressed wasm.
    fn weight(&self, module: &Module) -> Option<u64> {
        let len = LENGTHS.with(|lengths| lengths.get(module));
        u64::try_from(len).ok()
    }
}

/// Made once, as each new instance would differ from those before.
static IDENTITY: LazyLock<(EngineId, EngineInstance)> =
    LazyLock::new(|| (EngineId::builder("web").build(), EngineInstance::new()));

thread_local! {
    /// The lengths of modules, as long as those live. They have no place for a note of their own.
    static LENGTHS: WeakMap = WeakMap::new();
}

fn content_length(response: &Response) -> Option<u64> {
    let header = response.headers().get("content-length").ok()?;
    header?.parse().ok()
}
