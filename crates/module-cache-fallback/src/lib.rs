#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod fallback_cache;

pub use fallback_cache::{FallbackCache, FallbackExt};
