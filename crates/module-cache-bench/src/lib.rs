//! Nothing but measurements, which are in `benches/`: `cargo bench -p module-cache-bench`.
//!
//! Every figure is a ratio against something measured in the same run: machines differ and are noisy.

#![forbid(unsafe_code)]
