//! Compiles for other machines than this one.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use module_cache_core::instance::{EngineInstance, InstanceId};
use module_cache_core::{Artifact, ArtifactEngine, Compile, Engine, EngineError, EngineId};

use crate::compile_pool;

/// Compiles modules or components for a kind of machine, which need not be this one, and cannot run them. Created by
/// [`EngineBuilder`](crate::EngineBuilder).
///
/// Engines of the same configuration that [accept](crate::EngineBuilder::accept) the level load the code.
#[derive(Clone)]
pub struct WasmtimePrecompiler {
    engine: wasmtime::Engine,
    precompile: Precompile,
    id: EngineId,
    instance: EngineInstance,
}

pub(crate) type Precompile = fn(&wasmtime::Engine, &[u8]) -> Result<Vec<u8>, EngineError>;

/// Code that was compiled and not loaded.
#[derive(Clone)]
pub struct PrecompiledCode {
    instance: InstanceId,
    artifact: Arc<[u8]>,
}

impl WasmtimePrecompiler {
    /// The id is that of code that `precompile` makes with the engine.
    pub(crate) fn new(engine: wasmtime::Engine, precompile: Precompile, id: EngineId) -> Self {
        Self {
            engine,
            precompile,
            id,
            instance: EngineInstance::new(),
        }
    }
}

impl fmt::Debug for WasmtimePrecompiler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "WasmtimePrecompiler({})", self.id)
    }
}

impl fmt::Debug for PrecompiledCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PrecompiledCode({} bytes)", self.artifact.len())
    }
}

impl Engine for WasmtimePrecompiler {
    type Module = PrecompiledCode;

    fn id(&self) -> &EngineId {
        &self.id
    }

    fn instance(&self) -> &EngineInstance {
        &self.instance
    }

    fn weight(&self, code: &PrecompiledCode) -> Option<u64> {
        Some(code.artifact.len() as u64)
    }
}

impl Compile for WasmtimePrecompiler {
    fn compile(&self, wasm: &[u8]) -> Result<PrecompiledCode, EngineError> {
        let artifact = compile_pool::run(|| (self.precompile)(&self.engine, wasm))??;
        Ok(PrecompiledCode {
            instance: self.instance.id(),
            artifact: artifact.into(),
        })
    }
}

// SAFETY: wasmtime documents of `precompile_compatibility_hash`, all of which is in the id, that artifacts of one engine
// load in every other with an equal hash. `serialize` emits what this engine compiled, or what it was given under the
// contract of `deserialize`; it executes nothing.
unsafe impl ArtifactEngine for WasmtimePrecompiler {
    fn serialize<'m>(&self, code: &'m PrecompiledCode) -> Result<Cow<'m, [u8]>, EngineError> {
        if code.instance != self.instance.id() {
            return Err(EngineError::refused("the code belongs to another engine"));
        }
        Ok(Cow::Borrowed(&code.artifact))
    }

    unsafe fn deserialize(&self, artifact: Artifact) -> Result<PrecompiledCode, EngineError> {
        let artifact = artifact
            .into_bytes()
            .map_err(|error| EngineError::new("cannot read the stored code", error))?;
        Ok(PrecompiledCode {
            instance: self.instance.id(),
            artifact: artifact.into(),
        })
    }
}
