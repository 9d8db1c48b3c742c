//! A small plugin runtime on wasmtime, whose features choose where it keeps compiled plugins.
//!
//! It depends on the crates of module-cache that it uses and on no others: without the feature
//! `filesystem`, no code for files is compiled. All of that choice is in `storage.rs`; the host takes any
//! [`ModuleCache`](module_cache_core::ModuleCache).

#![forbid(unsafe_code)]

mod no_storage;
mod plugin;
mod plugin_host;
mod storage;

pub use no_storage::NoStorage;
pub use plugin::Plugin;
pub use plugin_host::PluginHost;
pub use storage::Storage;
