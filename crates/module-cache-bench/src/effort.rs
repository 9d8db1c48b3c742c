//! How much is measured: a look, or enough to publish.

use std::env;

/// Set by `cargo xtask bench --quick`.
const QUICK: &str = "MODULE_CACHE_BENCH_QUICK";

/// Whether a look is enough: fewer rounds of fewer cases.
pub fn is_quick() -> bool {
    env::var_os(QUICK).is_some()
}

/// `quick` for a look, else `full`.
pub fn choose<T>(quick: T, full: T) -> T {
    if is_quick() { quick } else { full }
}
