//! Compiling with wasmer.

use module_cache_core::{Compile, EngineError};
use wasmer::{CompileError, Module};
use wasmer_types::WasmError;

use crate::WasmerEngine;
#[cfg(feature = "compiler")]
use crate::own_threads;

impl Compile for WasmerEngine {
    /// Compiles binary wasm, in parallel, on threads that are there for this module alone.
    ///
    /// Meanwhile wasmer holds the engine's lock: other compilations with this engine wait, and so do loads
    /// and the making of host functions.
    ///
    /// A panic in the compiler, or in middleware, leaves that lock poisoned. It is an error here, and from
    /// then on every call of this engine is one.
    fn compile(&self, wasm: &[u8]) -> Result<Module, EngineError> {
        let compile = || Module::from_binary(self.engine(), wasm);
        #[cfg(feature = "compiler")]
        let compiled = own_threads::run(compile)?;
        #[cfg(not(feature = "compiler"))]
        let compiled = compile();
        compiled.map_err(compile_error)
    }
}

fn compile_error(error: CompileError) -> EngineError {
    let message = "cannot compile the module";
    match error {
        CompileError::Validate(_)
        | CompileError::UnsupportedFeature(_)
        | CompileError::Wasm(
            WasmError::InvalidWebAssembly { .. }
            | WasmError::Unsupported(_)
            | WasmError::ImplLimitExceeded,
        ) => EngineError::invalid_wasm(message, error),
        // What may pass, and what is not known not to.
        error => EngineError::new(message, error),
    }
}
