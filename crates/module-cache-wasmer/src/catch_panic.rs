//! A panic inside wasmer as an error.

use std::panic::{self, AssertUnwindSafe};

use module_cache_core::EngineError;

/// Runs `call` and turns a panic into an error.
///
/// wasmer holds its engine's lock while it compiles and while it takes code in. So after a panic there, that lock is
/// poisoned, and every call that needs it panics too. Wasm can bring that about: wasmer identifies the type of a function by a
/// CRC of 32 bits, and panics when two modules of one engine have different types with one CRC.
///
/// # Errors
///
/// When `call` panics.
pub(crate) fn catch_panic<T>(call: impl FnOnce() -> T) -> Result<T, EngineError> {
    // Nothing half done is looked at again: what wasmer was changing stays behind its poisoned lock.
    panic::catch_unwind(AssertUnwindSafe(call)).map_err(|panic| EngineError::panicked(&*panic))
}
