//! Small modules that do something, and responses that bring them.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use js_sys::WebAssembly::{Instance, Module};
use js_sys::{Function, Object, Reflect, Uint8Array};
use module_cache_core::{HashedModule, ModuleHash};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Headers, Response, ResponseInit};

/// Wasm with a function `answer` that returns this number.
pub(crate) fn wasm(answer: u8) -> Vec<u8> {
    assert!(answer < 64, "larger numbers take two bytes");
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend(b"\x01\x05\x01\x60\0\x01\x7f"); // one type: no parameters, an i32
    wasm.extend(b"\x03\x02\x01\0"); // one function of that type
    wasm.extend(b"\x07\x0a\x01\x06answer\0\0"); // exported
    wasm.extend([0x0a, 6, 1, 4, 0, 0x41, answer, 0x0b]); // i32.const, end
    wasm
}

pub(crate) fn hashed(answer: u8) -> HashedModule<'static> {
    HashedModule::new(wasm(answer))
}

pub(crate) fn key(answer: u8) -> ModuleHash {
    hashed(answer).hash()
}

/// What the module's function returns.
pub(crate) fn answer_of(module: &Module) -> JsValue {
    let instance = Instance::new(module, &Object::new()).expect("the module needs no imports");
    let function: Function = Reflect::get(&instance.exports(), &"answer".into())
        .expect("exports can be read")
        .dyn_into()
        .expect("the module exports a function");
    function.call0(&Object::new()).expect("it does not trap")
}

/// A response as a server gives it, with these headers.
pub(crate) fn response(body: &[u8], headers: &[(&str, &str)]) -> Response {
    let list = Headers::new().expect("an empty list of headers");
    for (name, value) in headers {
        list.set(name, value).expect("a valid header");
    }
    let init = ResponseInit::new();
    init.set_headers(&list);
    Response::new_with_opt_js_u8_array_and_init(Some(&Uint8Array::from(body)), &init)
        .expect("a valid response")
}

/// A response that brings [`wasm`].
pub(crate) fn streamed(answer: u8) -> Response {
    response(&wasm(answer), &[("content-type", "application/wasm")])
}
