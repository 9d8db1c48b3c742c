//! The loader of two tiers.

mod failures;
mod limits;
mod served;
mod storm;
mod support;
#[cfg(unix)]
#[path = "../support/without_threads.rs"]
mod without_threads;
