#![doc = include_str!("../README.md")]
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `tokio` | `AsyncModuleLoader`: the same for async callers, who wait without a thread |
//! | `metrics` | histograms and counters through the `metrics` crate: `describe_metrics`, `record_loader_stats`, `record_cache_stats` |
//!
//! Both are additive: a thread and a task that ask one loader for one module share one compilation. Without `metrics`, none
//! of its code is compiled.
//!
//! # Following a load
//!
//! A load that is not resident is a `tracing` span `load_module` with the fields `hash`, `engine` and, in the end,
//! `source`; below it are `look_up`, `permit`, `wait` (for another holder of the permit), `fetch`, `slot`, `compile` and
//! `save`, each on the thread where it happens. A resident hit has no span and no event.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "tokio")]
mod async_module_loader;
mod compile_slots;
#[doc(hidden)]
pub mod course;
mod in_flight;
mod leader;
mod load_error;
mod loaded;
#[cfg(feature = "metrics")]
mod metrics_export;
mod module_loader;
mod pace;
mod remembered;
mod single_flight;
mod stats;
mod tier;
mod tiered;
mod tiered_loader;
mod two_loaders;
mod upgrades;
mod wakers;

#[cfg(feature = "tokio")]
pub use async_module_loader::AsyncModuleLoader;
pub use load_error::LoadError;
pub use loaded::{Loaded, Source};
#[cfg(feature = "metrics")]
pub use metrics_export::{
    describe_metrics, record_cache_stats, record_loader_stats, record_tier_stats,
};
pub use module_loader::ModuleLoader;
pub use stats::LoaderStats;
pub use tier::{Tier, TierStats};
pub use tiered::Tiered;
pub use tiered_loader::TieredLoader;
