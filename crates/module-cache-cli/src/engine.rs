//! The one configuration of wasmtime, and the loaders on it. `run` and `compile` share it, or what one
//! stores would be of no use to the other.

use anyhow::{Context, Result};
use module_cache::{
    Compile, Engine as _, EngineId, LoadError, Loaded, ModuleCache, ModuleLoader,
    WasmtimeComponentEngine, WasmtimeEngine,
};
use wasmtime::component::Component;
use wasmtime::{Config, Module, WasmBacktraceDetails};

use crate::remote::Tiers;
use crate::wasm_file::{Kind, WasmFile};

/// Loads modules and components from a cache, and compiles what it does not have.
pub(crate) struct Engine<'a> {
    modules: ModuleLoader<WasmtimeEngine, &'a Tiers>,
    components: ModuleLoader<WasmtimeComponentEngine, &'a Tiers>,
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
        Ok(Self {
            modules: ModuleLoader::new(WasmtimeEngine::new(&engine)?, cache),
            components: ModuleLoader::new(WasmtimeComponentEngine::new(&engine)?, cache),
        })
    }

    /// Loads the code of a file, or compiles it.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and cannot be compiled.
    pub(crate) fn load(&self, file: &WasmFile) -> Result<Loaded<Code>, LoadError> {
        match file.kind() {
            Kind::Module => load(&self.modules, file, Code::Module),
            Kind::Component => load(&self.components, file, Code::Component),
        }
    }

    /// What the code of such files depends on.
    pub(crate) fn id(&self, kind: Kind) -> EngineId {
        match kind {
            Kind::Module => *self.modules.engine().id(),
            Kind::Component => *self.components.engine().id(),
        }
    }
}

fn load<E: Compile, C: ModuleCache<E>>(
    loader: &ModuleLoader<E, C>,
    file: &WasmFile,
    into_code: impl FnOnce(E::Module) -> Code,
) -> Result<Loaded<Code>, LoadError> {
    let Loaded {
        module,
        source,
        elapsed,
    } = loader.load_with(file.hash(), || file.fetch())?;
    Ok(Loaded {
        module: into_code(module),
        source,
        elapsed,
    })
}
