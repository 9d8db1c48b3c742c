//! The one configuration of wasmtime. `run` and `compile` share it, or what one stores would be of no use to the
//! other.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use module_cache::{
    ModuleLoader, WasmtimeComponentEngine, WasmtimeEngine,
    backend::{ArtifactEngine, Compile, EngineError, EngineId},
    loader::Loaded,
};
use wasmtime::component::Component;
use wasmtime::{Config, Module, WasmBacktraceDetails};

use crate::remote::Tiers;
use crate::wasm_file::{Kind, WasmFile};

/// Loads modules and components from a cache, and compiles what it does not have.
pub(crate) struct Engine<'a> {
    wasmtime: wasmtime::Engine,
    cache: &'a Tiers,
    /// Made when first needed: `run` needs one of them.
    modules: OnceLock<ModuleLoader<WasmtimeEngine, &'a Tiers>>,
    components: OnceLock<ModuleLoader<WasmtimeComponentEngine, &'a Tiers>>,
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
        let wasmtime = wasmtime::Engine::new(&config)
            .map_err(|error| anyhow::Error::from_boxed(error.into()))
            .context("cannot set up wasmtime")?;
        Ok(Self {
            wasmtime,
            cache,
            modules: OnceLock::new(),
            components: OnceLock::new(),
        })
    }

    /// Loads the code of a file, or compiles it, and names the engine that can load it.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and cannot be compiled.
    pub(crate) fn load(&self, file: &WasmFile) -> Result<(EngineId, Loaded<Code>)> {
        match file.kind() {
            Kind::Module => {
                let engine = || WasmtimeEngine::new(&self.wasmtime);
                self.load_by(&self.modules, engine, file, Code::Module)
            }
            Kind::Component => {
                let engine = || WasmtimeComponentEngine::new(&self.wasmtime);
                self.load_by(&self.components, engine, file, Code::Component)
            }
        }
    }

    fn load_by<E: ArtifactEngine + Compile>(
        &self,
        loader: &OnceLock<ModuleLoader<E, &'a Tiers>>,
        engine: impl FnOnce() -> Result<E, EngineError>,
        file: &WasmFile,
        into_code: impl FnOnce(E::Module) -> Code,
    ) -> Result<(EngineId, Loaded<Code>)> {
        let loader = if let Some(loader) = loader.get() {
            loader
        } else {
            let engine = engine()?;
            loader.get_or_init(|| ModuleLoader::new(engine, self.cache))
        };
        let loaded = loader.load_with(file.hash(), || file.fetch())?;
        Ok((*loader.engine().id(), loaded.map(into_code)))
    }
}
