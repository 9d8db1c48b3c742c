//! What the measurements in `benches/` share. `cargo xtask bench` runs them all and writes
//! `docs/performance.md`; `cargo bench -p module-cache-bench --bench memory_hit` runs one.
//!
//! Every figure is a ratio against a baseline that was measured in the same round: machines differ and are
//! noisy.

#![forbid(unsafe_code)]

pub mod bare_engine;
pub mod comparison;
#[cfg(feature = "engines")]
pub mod compiled;
pub mod corpus;

pub mod disk;
pub mod effort;
pub mod folder;
#[cfg(feature = "engines")]
pub mod generated;
pub mod live_map;
pub mod memory_hit;
pub mod pass_through;
pub mod peers;
pub mod random;
pub mod thread_group;
mod thread_local_map;
#[cfg(feature = "engines")]
pub mod work;
