//! The cases of the conformance suites: what the macros call, each with a fixture of its own.

pub mod cache;
pub mod store;

mod permit;
mod sample;
