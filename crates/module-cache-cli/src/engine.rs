//! The one configuration of wasmtime. `run` and `compile` share it, or what one stores would be of no use to the
//! other.

use anyhow::{Context, Result};
use module_cache::{
    ModuleLoader, WasmtimeComponentEngine, WasmtimeEngine,
    backend::{ArtifactEngine, Compile, EngineId},
    loader::Loaded,
};
use wasmtime::component::Component;
use wasmtime::{Config, Module, WasmBacktraceDetails};

use crate::remote::Tiers;
use crate::wasm_file::{Kind, WasmFile};

/// Loads modules and components from a cache, and compiles what it does not have.
pub(crate) struct Engine<'a> {
    engine: wasmtime::Engine,
    cache: &'a Tiers,
}

/// Machine code, ready to be run.
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

impl<'a> Engine<'a> {
    /// An engine over `cache`.
    ///
    /// # Errors
    ///
    /// When wasmtime does not work on this machine.
    pub(crate) fn new(cache: &'a Tiers) -> Result<Self> {
        let mut config = Config::new();
        // By default an environment variable decides, and it changes the code: two users of one cache
        // would not share any.
        config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
        let engine = wasmtime::Engine::new(&config)
            .map_err(|error| anyhow::Error::from_boxed(error.into()))
            .context("cannot set up wasmtime")?;
        Ok(Self { engine, cache })
    }

    /// Loads the code of a file, or compiles it, and names the engine that can load it.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and cannot be compiled.
    pub(crate) fn load(&self, file: &WasmFile) -> Result<(EngineId, Loaded<Code>)> {
        match file.kind() {
            Kind::Module => self.load_by(WasmtimeEngine::new(&self.engine)?, file, Code::Module),
            Kind::Component => {
                let engine = WasmtimeComponentEngine::new(&self.engine)?;
                self.load_by(engine, file, Code::Component)
            }
        }
    }

    fn load_by<E: ArtifactEngine + Compile>(
        &self,
        engine: E,
        file: &WasmFile,
        into_code: impl FnOnce(E::Module) -> Code,
    ) -> Result<(EngineId, Loaded<Code>)> {
        let id = *engine.id();
        let loader = ModuleLoader::new(engine, self.cache);
        let loaded = loader.load_with(file.hash(), || file.fetch())?;
        Ok((id, loaded.map(into_code)))
    }
}
