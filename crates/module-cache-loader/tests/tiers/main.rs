//! The loader of two tiers.

mod failures;
mod limits;
mod served;
mod storm;
mod support;
