//! Real modules of the JavaScript engine that runs the test, and the memory cache that keeps them.

mod support;

use std::error::Error;

use js_sys::{Object, WebAssembly, global};
use module_cache_core::{Engine, ModuleCache};
use module_cache_memory::{ThreadLocalCache, in_memory};
use module_cache_web::{Wasm, WebEngine, fetch_wasm};
use support::{answer_of, key, response, streamed, wasm};
use wasm_bindgen_test::wasm_bindgen_test;

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];

#[wasm_bindgen_test]
async fn bytes_become_a_module_that_runs() {
    let module = WebEngine.compile(&wasm(42)[..]).await.unwrap();
    assert_eq!(answer_of(&module), 42);
}

#[wasm_bindgen_test]
async fn a_response_becomes_a_module_that_runs() {
    let module = WebEngine.compile(streamed(7)).await.unwrap();
    assert_eq!(answer_of(&module), 7);
}

#[wasm_bindgen_test]
async fn what_is_not_wasm_is_an_error_that_says_why() {
    let bytes = WebEngine.compile(&b"not wasm"[..]).await.unwrap_err();
    let streamed = WebEngine.compile(response(b"not wasm", &WASM)).await;
    for error in [bytes, streamed.unwrap_err()] {
        let text = error.to_string();
        assert!(
            text.starts_with("cannot compile the module: CompileError: "),
            "{text}"
        );
    }
}

#[wasm_bindgen_test]
async fn a_response_of_another_type_is_an_error() {
    let text = response(&wasm(1), &[("content-type", "text/plain")]);
    let error = WebEngine.compile(text).await.unwrap_err();
    assert!(error.to_string().contains("MIME type"), "{error:?}");
}

#[wasm_bindgen_test]
async fn a_module_weighs_what_its_wasm_has_bytes() {
    let len = wasm(1).len() as u64;
    let module = WebEngine.compile(&wasm(1)[..]).await.unwrap();
    assert_eq!(WebEngine.weight(&module), Some(len));
    assert_eq!(WebEngine.weight(&module.clone()), Some(len));

    let announced = len.to_string();
    let headers = [WASM[0], ("content-length", &announced)];
    let module = WebEngine.compile(response(&wasm(1), &headers)).await;
    assert_eq!(WebEngine.weight(&module.unwrap()), Some(len));
    let module = WebEngine.compile(streamed(1)).await;
    assert_eq!(WebEngine.weight(&module.unwrap()), None);
}

#[wasm_bindgen_test]
fn there_is_one_engine() {
    let (one, other) = (WebEngine, WebEngine);
    assert_eq!(one.instance().id(), other.instance().id());
    assert_eq!(one.id(), other.id());
}

#[wasm_bindgen_test]
async fn fetched_wasm_becomes_a_module_that_runs() {
    let wasm = fetch_wasm(
        "data:application/wasm;base64,\
         AGFzbQEAAAABBQFgAAF/AwIBAAcKAQZhbnN3ZXIAAAoGAQQAQQUL",
    );
    let module = WebEngine.compile(wasm.await.unwrap()).await.unwrap();
    assert_eq!(answer_of(&module), 5);
}

#[wasm_bindgen_test]
async fn what_cannot_be_fetched_is_an_error_that_says_why() {
    let error = fetch_wasm("no-such-scheme:x").await.unwrap_err();
    assert_eq!(error.to_string(), "cannot fetch no-such-scheme:x");
    let cause = error.source().expect("there is a cause").to_string();
    assert!(cause.starts_with("TypeError: "), "{cause}");
}

/// In a browser, the choice is the cache of one thread.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
const _: fn() -> ThreadLocalCache<WebEngine> = in_memory;

#[wasm_bindgen_test]
async fn a_module_in_memory_is_the_same_object_when_it_is_loaded() {
    let cache = in_memory();
    let module = WebEngine.compile(&wasm(1)[..]).await.unwrap();
    assert!(cache.load(key(1), &WebEngine).unwrap().is_none());
    assert!(cache.save(key(1), &WebEngine, &module).unwrap().is_stored());
    let loaded = cache.load(key(1), &WebEngine).unwrap().unwrap();
    assert!(Object::is(&loaded, &module));

    assert!(cache.remove(key(1), &WebEngine).unwrap());
    assert!(cache.load(key(1), &WebEngine).unwrap().is_none());
    assert_eq!(answer_of(&loaded), 1);
}

#[wasm_bindgen_test]
async fn the_weight_of_modules_is_bounded() {
    let len = wasm(0).len() as u64;
    let cache = ThreadLocalCache::with_max_weight(2 * len);
    for answer in 0..5 {
        let module = WebEngine.compile(&wasm(answer)[..]).await.unwrap();
        let saved = cache.save(key(answer), &WebEngine, &module).unwrap();
        assert!(saved.is_stored());
    }
    assert_eq!((cache.len(), cache.weight()), (2, 2 * len));
    assert_eq!(cache.stats().evictions, 3);
}

/// So that nobody implements `Compile` for want of looking: what works in Node and in a worker fails on a page.
#[wasm_bindgen_test]
fn a_page_refuses_to_compile_a_large_module_at_once() {
    let on_a_page = js_sys::Reflect::has(&global(), &"document".into()).unwrap();
    let compiled = WebAssembly::Module::new(&large_wasm());
    assert_eq!(compiled.is_err(), on_a_page);
}

/// Valid wasm of 9 MiB, nearly all of it in a custom section.
fn large_wasm() -> js_sys::Uint8Array {
    let payload = 9 << 20;
    let mut wasm = b"\0asm\x01\0\0\0\0".to_vec();
    wasm.extend([0x81, 0x80, 0xc0, 0x04]); // 1 + 9 MiB, in LEB128
    wasm.push(0); // the section's name is empty
    wasm.resize(wasm.len() + payload, 0);
    let Wasm::Bytes(bytes) = Wasm::from(&wasm[..]) else {
        unreachable!("bytes stay bytes")
    };
    bytes
}
