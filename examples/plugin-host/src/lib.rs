//! A small plugin runtime on wasmtime: one engine for many plugins, with features that choose where it keeps them compiled.
//!
//! It depends on the crates of module-cache that it uses and on no others: without the feature
//! `filesystem`, no code for files is compiled. All of that choice is in `storage.rs`; the host takes any
//! [`ModuleCache`](module_cache_core::ModuleCache).
//!
//! `docs/plugins.md` shows parts of it and says why they are as they are.

#![forbid(unsafe_code)]

mod known_modules;
mod limits;
mod no_storage;
mod plugin;
mod plugin_host;
mod plugin_hosts;
mod settings;
mod storage;
mod ticker;

pub use known_modules::KnownModules;
pub use limits::Limits;
pub use no_storage::NoStorage;
pub use plugin::Plugin;
pub use plugin_host::PluginHost;
pub use plugin_hosts::PluginHosts;
pub use settings::Settings;
pub use storage::Storage;
