//! Single-flight for wasmer-wasix: one compilation for all callers that resolve a module at the same time.

use std::pin::Pin;
use std::sync::Arc;

use module_cache_core::{EngineError, ModuleCache as Cache, ModuleHash};
use module_cache_loader::{LoadError, ModuleLoader, Source};
use tracing::Span;
use wasmer::{CompileError, Module};
use wasmer_types::{
    CompilationProgress, MiddlewareError, ModuleHash as Sha256, UserAbort, WasmError,
};
use wasmer_wasix::SpawnError;
use wasmer_wasix::runtime::module_cache::progress::{
    ModuleLoadProgress, ModuleLoadProgressReporter,
};
use wasmer_wasix::runtime::{ModuleInput, load_module};

use super::WasixModuleCache;
use super::wasix_module_cache::{is_of, module_hash};
use crate::WasmerEngine;

/// Resolves a module once for all callers that ask for it, in this process and in others.
///
/// wasmer-wasix's own [`resolve_module`] looks into the cache, compiles on the thread that polls it, and saves; if ten
/// tasks ask for one cold module, all ten compile it. Call [`resolve_module`](Self::resolve_module) from a runtime's
/// override of that method instead: see the [module's documentation](super).
///
/// [`resolve_module`]: wasmer_wasix::Runtime::resolve_module
#[derive(Debug)]
pub struct WasixModuleLoader<C> {
    cache: WasixModuleCache<C>,
    loaders: Vec<Arc<Loader<C>>>,
}

type Loader<C> = ModuleLoader<WasmerEngine, Arc<C>>;

impl<C: Cache<WasmerEngine> + Send + Sync + 'static> WasixModuleLoader<C> {
    /// A loader for the engines that `cache` serves, on the same blocking threads.
    pub fn new(cache: WasixModuleCache<C>) -> Self {
        let loader = |engine: &WasmerEngine| {
            Arc::new(ModuleLoader::new(engine.clone(), Arc::clone(cache.cache())))
        };
        let loaders = cache.engines.iter().map(loader).collect();
        Self { cache, loaders }
    }

    /// Resolves a module as [`Runtime::resolve_module`](wasmer_wasix::Runtime::resolve_module) does, and
    /// compiles it once.
    ///
    /// A module that is alive in this process is ready at the first poll. Dropping the future cancels nothing: others may
    /// wait for the same module. For an engine that the cache does not know, wasmer-wasix resolves the module itself,
    /// without a cache.
    ///
    /// # Progress
    ///
    /// The reporter is told of a hit ([`ArtifactCacheHit`](ModuleLoadProgress::ArtifactCacheHit)), or that its call begins
    /// to compile ([`CompilingModule`](ModuleLoadProgress::CompilingModule), without steps). It may abort its own call
    /// there, and no other. A compilation that has begun cannot be aborted, because other callers may wait for it. Nothing
    /// is reported to a call that waits for another.
    ///
    /// # Errors
    ///
    /// [`SpawnError::CompileError`] when the module cannot be compiled, or the reporter aborted; [`SpawnError::Other`] when
    /// the tokio runtime is shut down or a cache panicked. Other failures of the cache are counted and logged, and the
    /// module is compiled.
    pub fn resolve_module<'a>(
        &'a self,
        input: ModuleInput<'a>,
        engine: &wasmer::Engine,
        on_progress: Option<ModuleLoadProgressReporter>,
    ) -> Pin<Box<dyn Future<Output = Result<Module, SpawnError>> + Send + 'a>> {
        if let Some(loader) = self.loader(engine) {
            Box::pin(self.load(loader, input, on_progress))
        } else {
            let engine = engine.clone();
            Box::pin(async move { load_module(&engine, &self.cache, input, on_progress).await })
        }
    }

    /// The loader of one engine, for instance for its statistics; `None` if the cache does not serve that engine.
    pub fn loader(
        &self,
        engine: &wasmer::Engine,
    ) -> Option<&Arc<ModuleLoader<WasmerEngine, Arc<C>>>> {
        self.loaders
            .iter()
            .find(|loader| is_of(loader.engine(), engine))
    }

    async fn load(
        &self,
        loader: &Arc<Loader<C>>,
        input: ModuleInput<'_>,
        on_progress: Option<ModuleLoadProgressReporter>,
    ) -> Result<Module, SpawnError> {
        let (key, wasm) = input.to_hashed().into_parts();
        let hash = module_hash(key);
        let resident = loader.cache().load_resident(hash, loader.engine());
        let result = if let Some(module) = resident {
            report(on_progress.as_ref(), ModuleLoadProgress::ArtifactCacheHit)
                .map(|()| module)
                .map_err(Failure::Aborted)
        } else {
            let (loader, span) = (Arc::clone(loader), Span::current());
            self.cache
                .handle
                .spawn_blocking(move || {
                    span.in_scope(|| load_blocking(&loader, hash, &wasm, on_progress.as_ref()))
                })
                .await
                .map_err(|error| SpawnError::Other(Box::new(error)))?
        };
        result.map_err(|failure| failure.into_spawn_error(key))
    }
}

enum Failure {
    Aborted(UserAbort),
    Load(LoadError),
}

impl Failure {
    fn into_spawn_error(self, module_hash: Sha256) -> SpawnError {
        let error = match self {
            Self::Aborted(abort) => CompileError::Aborted(abort),
            Self::Load(LoadError::Compile(error)) => compile_error(&error),
            Self::Load(other) => return SpawnError::Other(Box::new(other)),
        };
        SpawnError::CompileError { module_hash, error }
    }
}

/// What wasmer said, as it said it: the error is shared by all who waited, and wasmer's cannot be cloned.
fn compile_error(error: &EngineError) -> CompileError {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(CompileError::Wasm(wasm)) => CompileError::Wasm(wasm_error(wasm)),
        Some(CompileError::Codegen(text)) => CompileError::Codegen(text.clone()),
        Some(CompileError::Validate(text)) => CompileError::Validate(text.clone()),
        Some(CompileError::UnsupportedFeature(text)) => {
            CompileError::UnsupportedFeature(text.clone())
        }
        Some(CompileError::UnsupportedTarget(text)) => {
            CompileError::UnsupportedTarget(text.clone())
        }
        Some(CompileError::Resource(text)) => CompileError::Resource(text.clone()),
        Some(CompileError::MiddlewareError(text)) => CompileError::MiddlewareError(text.clone()),
        Some(CompileError::Aborted(abort)) => CompileError::Aborted(abort.clone()),
        // A panic, which wasmer-wasix would let through.
        None => CompileError::Codegen(error.to_string()),
    }
}

fn wasm_error(error: &WasmError) -> WasmError {
    match error {
        WasmError::InvalidWebAssembly { message, offset } => WasmError::InvalidWebAssembly {
            message: message.clone(),
            offset: *offset,
        },
        WasmError::Unsupported(text) => WasmError::Unsupported(text.clone()),
        WasmError::ImplLimitExceeded => WasmError::ImplLimitExceeded,
        WasmError::Middleware(error) => {
            WasmError::Middleware(MiddlewareError::new(&error.name, &error.message))
        }
        WasmError::Generic(text) => WasmError::Generic(text.clone()),
    }
}

fn load_blocking<C: Cache<WasmerEngine>>(
    loader: &Loader<C>,
    hash: ModuleHash,
    wasm: &[u8],
    on_progress: Option<&ModuleLoadProgressReporter>,
) -> Result<Module, Failure> {
    loop {
        let mut aborted = None;
        // This is called when the module must be compiled, by this call.
        let fetch = || {
            let compiling = ModuleLoadProgress::CompilingModule(CompilationProgress::default());
            report(on_progress, compiling).inspect_err(|abort| aborted = Some(abort.clone()))?;
            Ok::<_, UserAbort>(wasm)
        };
        let loaded = loader.load_with(hash, fetch);
        return match (loaded, aborted) {
            (_, Some(abort)) => Err(Failure::Aborted(abort)),
            (Ok(loaded), None) => {
                if loaded.source != Source::Compiled {
                    report(on_progress, ModuleLoadProgress::ArtifactCacheHit)
                        .map_err(Failure::Aborted)?;
                }
                Ok(loaded.module)
            }
            // The call that this one waited for was aborted by its own reporter.
            (Err(LoadError::Fetch { .. }), None) => continue,
            (Err(error), None) => Err(Failure::Load(error)),
        };
    }
}

fn report(
    on_progress: Option<&ModuleLoadProgressReporter>,
    progress: ModuleLoadProgress,
) -> Result<(), UserAbort> {
    on_progress.map_or(Ok(()), |reporter| reporter.notify(progress))
}
