//! Two real workers and the page that starts them: each has its own modules.

mod support;

use js_sys::{Array, Error, JsString, Promise};
use module_cache_memory::{InMemoryCache, in_memory};
use module_cache_web::{WebEngine, WebModuleLoader, fetch_wasm};
use support::hashed;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{
    Blob, BlobPropertyBag, ErrorEvent, MessageEvent, Url, Worker, WorkerOptions, WorkerType,
};

wasm_bindgen_test_configure!(run_in_browser);

thread_local! {
    static LOADER: WebModuleLoader<InMemoryCache<WebEngine>> = WebModuleLoader::new(in_memory());
}

/// Loads a module twice and says where it came from, and what this thread has compiled so far.
///
/// # Panics
///
/// If the module does not load.
#[wasm_bindgen]
pub async fn load_twice() -> Array {
    let loader = LOADER.with(Clone::clone);
    let mut said = Vec::new();
    for _ in 0..2 {
        let loaded = loader.load(&hashed(42)).await.unwrap();
        said.push(loaded.source.to_string());
    }
    said.push(format!("{} compiled", loader.stats().compiled));
    said.into_iter().map(JsString::from).collect()
}

#[wasm_bindgen_test]
async fn neither_workers_nor_the_page_see_modules_of_each_other() {
    let once = ["compiled", "resident", "1 compiled"];
    assert_eq!(texts(&load_twice().await), once);
    // The second worker starts when the first has the module, and while it is alive.
    let (first, said) = start_worker();
    assert_eq!(answer(said).await, once);
    let (second, said) = start_worker();
    assert_eq!(answer(said).await, once);
    first.terminate();
    second.terminate();
    assert_eq!(
        texts(&load_twice().await),
        ["resident", "resident", "1 compiled"]
    );
}

#[wasm_bindgen_test]
async fn what_a_server_does_not_have_is_an_error() {
    let error = fetch_wasm("/no-such-module.wasm").await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap();
    assert_eq!(cause.to_string(), "the server answered 404");
}

#[wasm_bindgen]
extern "C" {
    type ImportMeta;
    #[wasm_bindgen(method, getter)]
    fn url(this: &ImportMeta) -> String;
    /// Where the JavaScript of this very program lies.
    #[wasm_bindgen(thread_local_v2, js_namespace = import, js_name = meta)]
    static IMPORT_META: ImportMeta;
}

/// A worker that runs this program's [`load_twice`], and a promise of what it returns.
fn start_worker() -> (Worker, Promise) {
    let program = IMPORT_META.with(ImportMeta::url);
    let script = format!(
        "const program = await import('{program}');
         await program.default({{ module_or_path: '{program}_bg.wasm' }});
         postMessage(await program.load_twice());"
    );
    let kind = BlobPropertyBag::new();
    kind.set_type("text/javascript");
    let parts = Array::of1(&script.into());
    let blob = Blob::new_with_str_sequence_and_options(&parts, &kind).unwrap();
    let address = Url::create_object_url_with_blob(&blob).unwrap();
    let options = WorkerOptions::new();
    options.set_type(WorkerType::Module);
    let worker = Worker::new_with_options(&address, &options).unwrap();

    let said = Promise::new(&mut |resolve, reject| {
        let on_message = Closure::once_into_js(move |event: MessageEvent| {
            resolve.call1(&event, &event.data()).unwrap();
        });
        worker.set_onmessage(Some(on_message.unchecked_ref()));
        let on_error = Closure::once_into_js(move |event: ErrorEvent| {
            reject.call1(&event, &Error::new(&event.message())).unwrap();
        });
        worker.set_onerror(Some(on_error.unchecked_ref()));
    });
    (worker, said)
}

async fn answer(said: Promise) -> Vec<String> {
    texts(JsFuture::from(said).await.unwrap().unchecked_ref())
}

fn texts(list: &Array) -> Vec<String> {
    list.iter().filter_map(|text| text.as_string()).collect()
}
