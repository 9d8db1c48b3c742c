#![doc = include_str!("../README.md")]
//!
//! # What a browser allows
//!
//! - **Memory only.** A script cannot see compiled code, and a module can no longer be kept in `IndexedDB`,
//!   so [`WebEngine`] has modules that live and none that are stored. (Browsers have a code cache of their
//!   own, which serves a [`Response`](web_sys::Response) that came from the network and is compiled as such.)
//! - **Each worker has its own modules.** They are JavaScript objects and stay in their thread, so
//!   `in_memory()` is `ThreadLocalCache` here, and a loader is not `Send`.
//! - **Compilation is asynchronous.** On the main thread a browser refuses to compile a large module at once.
//!   [`WebEngine`] therefore implements no [`Compile`](module_cache_core::Compile), and `ModuleLoader` does not
//!   take it; [`WebModuleLoader`] does the same work without blocking.
//!
//! The crate compiles everywhere, so that one program can name it for all its targets, and works on
//! `wasm32-unknown-unknown` in a browser, in Node and in other runtimes of JavaScript.

#![forbid(unsafe_code)]

mod exception;
mod fetch_wasm;
mod wasm;
mod web_engine;
mod web_module_loader;

pub use fetch_wasm::{FetchError, fetch_wasm};
pub use wasm::Wasm;
pub use web_engine::WebEngine;
pub use web_module_loader::WebModuleLoader;
