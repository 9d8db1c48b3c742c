//! The drop-in behind wasmer-wasix's own interface, with real engines, folders and runtimes.
#![cfg(all(feature = "wasix", feature = "cranelift"))]
#![expect(
    clippy::result_large_err,
    reason = "the error is wasmer-wasix's, and made once in a test"
)]

mod drop_in;
mod engines;
mod executors;
mod program;
mod progress;
mod single_flight;
mod support;
