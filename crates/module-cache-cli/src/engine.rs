//! The engines of wasmtime. `run` and `compile` share one configuration, or what one stores would be of no use to the
//! other.

use std::sync::OnceLock;
use std::time::Instant;

use anyhow::Result;
use module_cache::{
    ModuleCache, ModuleLoader,
    backend::{ArtifactEngine, Compile, EngineError, EngineId},
    loader::{Loaded, Source},
};
use module_cache_wasmtime::{
    CpuLevel, EngineBuilder, WasmtimeComponentEngine, WasmtimeEngine, WasmtimePrecompiler,
};
use wasmtime::component::Component;
use wasmtime::{Config, Module, WasmBacktraceDetails};

use crate::remote::Layers;
use crate::wasm_file::{Kind, WasmFile};

/// Loads modules and components from a cache, and compiles what it does not have.
pub(crate) struct Engine<'a> {
    builder: EngineBuilder,
    cache: &'a Layers,
    /// Whose code is like its own.
    levels: &'static [CpuLevel],
    /// Made when first needed: `run` needs one of them.
    modules: OnceLock<ModuleLoader<WasmtimeEngine, &'a Layers>>,
    components: OnceLock<ModuleLoader<WasmtimeComponentEngine, &'a Layers>>,
}

/// Compiles modules and components for other machines than this one, where a cache does not have them.
pub(crate) struct Precompiler<'a> {
    builder: EngineBuilder,
    target: Option<String>,
    cache: &'a Layers,
    modules: ModuleLoader<WasmtimePrecompiler, &'a Layers>,
    components: OnceLock<ModuleLoader<WasmtimePrecompiler, &'a Layers>>,
}

/// Machine code, ready to be run.
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

impl<'a> Engine<'a> {
    /// An engine over `cache`. What was compiled for one of the `levels` is code like its own.
    pub(crate) fn new(
        cache: &'a Layers,
        levels: &'static [CpuLevel],
        config: Option<Config>,
    ) -> Self {
        Self {
            builder: builder(&[], config),
            cache,
            levels,
            modules: OnceLock::new(),
            components: OnceLock::new(),
        }
    }

    /// Loads the code of a file, or compiles it, and names the engine whose code it is.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and cannot be compiled.
    pub(crate) fn load(&self, file: &WasmFile) -> Result<(EngineId, Loaded<Code>)> {
        match file.kind() {
            Kind::Module => {
                let make = EngineBuilder::module_engine;
                let (id, loaded) = self.load_by(&self.modules, make, file)?;
                Ok((id, loaded.map(Code::Module)))
            }
            Kind::Component => {
                let make = EngineBuilder::component_engine;
                let (id, loaded) = self.load_by(&self.components, make, file)?;
                Ok((id, loaded.map(Code::Component)))
            }
        }
    }

    /// Engines for each level take a tenth of the time of a program that starts, so the folder is first asked for code of this
    /// machine's own.
    fn load_by<E: ArtifactEngine + Compile>(
        &self,
        loader: &OnceLock<ModuleLoader<E, &'a Layers>>,
        make: impl Fn(&EngineBuilder) -> Result<E, EngineError>,
        file: &WasmFile,
    ) -> Result<(EngineId, Loaded<E::Module>)> {
        if !self.levels.is_empty() {
            let engine = make(&self.builder)?;
            let started = Instant::now();
            if let Ok(Some(module)) = self.cache.primary().load(file.hash(), &engine) {
                let loaded = Loaded::new(module, Source::Stored, started.elapsed());
                return Ok((*engine.id(), loaded));
            }
        }
        let engine = || make(&accepting(self.builder.clone(), self.levels));
        load(made(loader, self.cache, engine)?, file)
    }
}

impl<'a> Precompiler<'a> {
    /// One for machines with this target and CPU level; by default, with this one's target, and with any CPU of it.
    ///
    /// # Errors
    ///
    /// When there are none, or wasmtime does not compile for them.
    pub(crate) fn new(
        cache: &'a Layers,
        target: Option<&str>,
        level: Option<CpuLevel>,
        config: Option<Config>,
    ) -> Result<Self> {
        let builder = builder(&[], config);
        let builder = level.into_iter().fold(builder, EngineBuilder::cpu);
        let modules = ModuleLoader::new(builder.module_precompiler(target)?, cache);
        Ok(Self {
            builder,
            target: target.map(str::to_owned),
            cache,
            modules,
            components: OnceLock::new(),
        })
    }

    /// Finds the code of a file, or compiles it, and names the engine whose code it is.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and cannot be compiled.
    pub(crate) fn load(&self, file: &WasmFile) -> Result<(EngineId, Loaded<()>)> {
        let engine = || self.builder.component_precompiler(self.target.as_deref());
        let loader = match file.kind() {
            Kind::Module => &self.modules,
            Kind::Component => made(&self.components, self.cache, engine)?,
        };
        let (id, loaded) = load(loader, file)?;
        Ok((id, loaded.map(drop)))
    }
}

/// What makes engines that accept these levels, of these settings or else of the default ones.
pub(crate) fn builder(levels: &[CpuLevel], config: Option<Config>) -> EngineBuilder {
    let mut config = config.unwrap_or_default();
    // By default an environment variable decides, and it changes the code: two users of one cache would not share any.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    accepting(EngineBuilder::new(&config), levels)
}

fn accepting(builder: EngineBuilder, levels: &[CpuLevel]) -> EngineBuilder {
    levels
        .iter()
        .fold(builder, |builder, level| builder.accept(*level))
}

/// The loader, which is made if there is none yet.
fn made<'l, 'a, E: ArtifactEngine + Compile>(
    loader: &'l OnceLock<ModuleLoader<E, &'a Layers>>,
    cache: &'a Layers,
    engine: impl FnOnce() -> Result<E, EngineError>,
) -> Result<&'l ModuleLoader<E, &'a Layers>> {
    if let Some(loader) = loader.get() {
        return Ok(loader);
    }
    let engine = engine()?;
    Ok(loader.get_or_init(|| ModuleLoader::new(engine, cache)))
}

fn load<E: ArtifactEngine + Compile>(
    loader: &ModuleLoader<E, &Layers>,
    file: &WasmFile,
) -> Result<(EngineId, Loaded<E::Module>)> {
    let loaded = loader.load_with(file.hash(), || file.fetch())?;
    let id = *loaded
        .accepted_id
        .as_deref()
        .unwrap_or(loader.engine().id());
    Ok((id, loaded))
}
