//! The engines that `compile` fills the cache for. `run` knows one of them, wasmtime.

use std::time::Duration;

use anyhow::Result;
use module_cache::{
    backend::EngineId,
    loader::{Loaded, Source},
};
#[cfg(feature = "wasmer-singlepass")]
use wasmer::sys::Singlepass;
use wasmtime::Config;
#[cfg(feature = "wasmer")]
use {
    crate::wasm_file::Kind,
    anyhow::bail,
    module_cache::{ModuleLoader, WasmerEngine, backend::Engine as _},
    wasmer::sys::Cranelift,
};

use crate::args::{CompileArgs, EngineName};
use crate::engine::{self, Engine};
use crate::remote::Layers;
use crate::saved::Saved;
use crate::wasm_file::WasmFile;

/// Brings the code of files into a cache.
pub(crate) enum Precompiler<'a> {
    Wasmtime(Box<Engine<'a>>),
    /// For machines that were named.
    Machines(Box<engine::Precompiler<'a>>),
    /// Each module gets an engine of its own. One of wasmer is locked while it compiles, keeps all code for
    /// as long as it lives, and is of no more use after its compiler panicked.
    #[cfg(feature = "wasmer")]
    Wasmer {
        new_engine: fn() -> wasmer::Engine,
        cache: &'a Layers,
    },
}

/// How the code of a file was had.
#[derive(Debug)]
pub(crate) struct Precompiled {
    /// The engine that can load it.
    pub(crate) engine: EngineId,
    pub(crate) source: Source,
    pub(crate) elapsed: Duration,
    pub(crate) saved: Saved,
}

impl<'a> Precompiler<'a> {
    /// A precompiler for the engine and the machines that were named.
    ///
    /// # Errors
    ///
    /// When it cannot compile for these machines.
    pub(crate) fn new(
        args: &CompileArgs,
        config: Option<Config>,
        cache: &'a Layers,
    ) -> Result<Self> {
        if args.target.is_some() || args.cpu.is_some() {
            let precompiler =
                engine::Precompiler::new(cache, args.target.as_deref(), args.cpu, config)?;
            return Ok(Self::Machines(precompiler.into()));
        }
        // Settings would be part of the engine's id. Without any, it is the id of engines as most make them.
        match args.engine.name {
            // What was compiled for other machines is not as good as what is to be stored.
            EngineName::Wasmtime => Ok(Self::Wasmtime(Engine::new(cache, &[], config).into())),
            #[cfg(feature = "wasmer")]
            EngineName::WasmerCranelift => Ok(Self::Wasmer {
                new_engine: || Cranelift::default().into(),
                cache,
            }),
            #[cfg(feature = "wasmer-singlepass")]
            EngineName::WasmerSinglepass => Ok(Self::Wasmer {
                new_engine: || Singlepass::default().into(),
                cache,
            }),
        }
    }

    /// Finds the code of a file in the cache, or compiles and stores it.
    ///
    /// # Errors
    ///
    /// When it is not in the cache and cannot be compiled.
    pub(crate) fn precompile(&self, file: &WasmFile) -> Result<Precompiled> {
        match self {
            Self::Wasmtime(engine) => {
                let (id, loaded) = engine.load(file)?;
                Ok(Precompiled::of(id, loaded))
            }
            Self::Machines(precompiler) => {
                let (id, loaded) = precompiler.load(file)?;
                Ok(Precompiled::of(id, loaded))
            }
            #[cfg(feature = "wasmer")]
            Self::Wasmer { new_engine, cache } => {
                if file.kind() == Kind::Component {
                    bail!(
                        "a component, and wasmer supports only modules; compile it with --engine wasmtime"
                    );
                }
                let engine = WasmerEngine::without_middleware(&new_engine())?;
                let loader = ModuleLoader::new(engine, *cache);
                let loaded = loader.load_with(file.hash(), || file.fetch())?;
                Ok(Precompiled::of(*loader.engine().id(), loaded))
            }
        }
    }
}

impl Precompiled {
    fn of<M>(engine: EngineId, loaded: Loaded<M>) -> Self {
        Self {
            engine,
            source: loaded.source,
            elapsed: loaded.elapsed,
            saved: loaded.saved,
        }
    }
}
