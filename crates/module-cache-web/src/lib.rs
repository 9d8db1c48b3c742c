#![doc = include_str!("../README.md")]
//!
//! # What a browser allows
//!
//! - **Memory only.** A script cannot see compiled code, and a module can no longer be kept in `IndexedDB`, so
//!   [`WebEngine`] has only live modules and stores none. (Browsers have their own code cache, which is used for a
//!   [`Response`](web_sys::Response) from the network that is compiled directly.)
//! - **Each worker has its own modules.** They are JavaScript objects and stay in their thread, so
//!   `in_memory()` is `ThreadLocalCache` here, and a loader is not `Send`.
//! - **Compilation is asynchronous.** On the main thread a browser refuses to compile a large module synchronously.
//!   [`WebEngine`] therefore does not implement [`Compile`](module_cache_core::Compile), so `ModuleLoader` cannot use it;
//!   [`WebModuleLoader`] does the same work without blocking.
//!
//! The crate compiles everywhere, so that one program can name it for all its targets, and works on
//! `wasm32-unknown-unknown` in a browser, in Node and in other JavaScript runtimes.

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
