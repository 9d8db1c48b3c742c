//! wasmer as an engine of modules.

use std::fmt;
use std::sync::Arc;

#[cfg(any(feature = "compiler", not(feature = "sys")))]
use module_cache_core::EngineError;
use module_cache_core::instance::EngineInstance;
use module_cache_core::{Engine, EngineId};
use wasmer::Module;

#[cfg(feature = "compiler")]
use crate::{CpuLevel, engine_id::Identity};

/// A [`wasmer::Engine`] whose [`Module`]s can be cached.
///
/// A cache treats its clones as one engine, as wasmer treats clones of a `wasmer::Engine`.
///
/// Configure the engine first: `with_opts` of [`wasmer::Engine`] in wasmer 7.4 changes what all its clones compile, and an
/// id that was computed before does not change.
#[derive(Clone)]
pub struct WasmerEngine {
    engine: wasmer::Engine,
    id: EngineId,
    instance: EngineInstance,
    accepted: Arc<[EngineId]>,
    /// What the id is made of, if it was computed here.
    #[cfg(feature = "compiler")]
    pub(crate) identity: Option<Arc<Identity>>,
}

impl WasmerEngine {
    /// Wraps an engine without middleware, and computes its id.
    ///
    /// # Errors
    ///
    /// When the engine has middleware, no compiler, or another target than this machine.
    #[cfg(feature = "compiler")]
    pub fn without_middleware(engine: &wasmer::Engine) -> Result<Self, EngineError> {
        Self::identified(engine, None)
    }

    /// Wraps an engine of a browser, where there is no middleware.
    ///
    /// # Errors
    ///
    /// There are none in a browser; other platforms have some.
    #[cfg(not(feature = "sys"))]
    pub fn without_middleware(engine: &wasmer::Engine) -> Result<Self, EngineError> {
        let label = format!("wasmer-{}-js", wasmer_types::VERSION);
        // SAFETY: no code is stored under the id, as modules of this kind are no artifacts.
        Ok(unsafe { Self::with_id(engine, EngineId::builder(&label).build()) })
    }

    /// Wraps an engine with middleware and computes its id, of which `middleware` is a part.
    ///
    /// Middleware changes the code, and wasmer cannot say how. So the name must contain everything that matters about it:
    /// which middleware it is, its version, and its options, as in `"metering:v3,limit=100000"`. Engines that are otherwise
    /// equal and have the same name run each other's code. Name several middlewares in their order.
    ///
    /// An engine without middleware may have a name too, to distinguish it by something that the id does not cover, such as
    /// a patched wasmer.
    ///
    /// # Errors
    ///
    /// When the name is empty, or the engine has no compiler or another target than this machine.
    #[cfg(feature = "compiler")]
    pub fn with_middleware(engine: &wasmer::Engine, middleware: &str) -> Result<Self, EngineError> {
        if middleware.is_empty() {
            return Err(EngineError::refused(
                "the middleware has an empty name; give it one that distinguishes its code from that of others",
            ));
        }
        Self::identified(engine, Some(middleware))
    }

    #[cfg(feature = "compiler")]
    fn identified(engine: &wasmer::Engine, middleware: Option<&str>) -> Result<Self, EngineError> {
        let identity = Identity::of(engine, middleware)?;
        let id = identity.id_for(engine.as_sys().target());
        // SAFETY: the id was computed from this very engine, and the caller named its middleware.
        let mut this = unsafe { Self::with_id(engine, id) };
        this.identity = Some(Arc::new(identity));
        Ok(this)
    }

    /// Also loads code that an engine of the same configuration compiled for this [level](CpuLevel::target), if there is
    /// none of the engine's own id or of levels that were named before.
    ///
    /// A level that this machine, or the target of the engine, cannot run is left out, as
    /// [`accepted_ids`](module_cache_core::Engine::accepted_ids) shows. So one program can name all levels, and each
    /// machine loads what it can run. Levels are accepted only with Cranelift: Singlepass generates wrong code without AVX,
    /// and other compilers were not examined. None is accepted if the id was computed elsewhere
    /// ([`with_id`](Self::with_id)).
    ///
    /// The code gives the same results as code for this CPU, where WebAssembly defines them. It does not define the bits of
    /// a NaN (see [`Cranelift::canonicalize_nans`](wasmer::sys::CompilerConfig::canonicalize_nans)) and some results of
    /// relaxed SIMD.
    ///
    /// For a cache, the returned engine is another one than this and its clones: clone the returned one.
    #[cfg(feature = "compiler")]
    #[must_use]
    pub fn accept(mut self, level: CpuLevel) -> Self {
        let identity = self.identity.as_ref();
        let id = identity.and_then(|identity| identity.id_at(level, self.engine.as_sys().target()));
        let news = id.filter(|id| *id != self.id && !self.accepted.contains(id));
        self.accepted = self.accepted.iter().copied().chain(news).collect();
        self.instance = EngineInstance::new();
        self
    }

    /// Wraps an engine whose id is known, for hosts that only load: an id cannot be computed without a compiler, as in
    /// wasmer's headless engine.
    ///
    /// # Safety
    ///
    /// `id` was computed by [`without_middleware`](Self::without_middleware) or
    /// [`with_middleware`](Self::with_middleware), in this process or another one, from an engine with the
    /// same version of wasmer and for the same target. If `engine` has
    /// a compiler, its configuration and middleware are those of the engine that the id was computed from. CPU features
    /// that `engine` lacks, and tunables that guard memories otherwise, are no danger: such entries are misses.
    ///
    /// Both programs are built with the same choice of rkyv's Cargo features `unaligned`, `big_endian` and
    /// `pointer_width_*`, which any crate of a program can turn on (`cargo tree -e features -i rkyv` shows them). wasmer
    /// does not check archives, so if the choices differ, the program may crash or execute wrong code.
    pub unsafe fn with_id(engine: &wasmer::Engine, id: EngineId) -> Self {
        Self {
            engine: engine.clone(),
            id,
            instance: EngineInstance::new(),
            accepted: Arc::default(),
            #[cfg(feature = "compiler")]
            identity: None,
        }
    }

    /// The engine that modules belong to.
    pub fn engine(&self) -> &wasmer::Engine {
        &self.engine
    }
}

impl fmt::Debug for WasmerEngine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "WasmerEngine({})", self.id)
    }
}

impl Engine for WasmerEngine {
    type Module = Module;

    fn id(&self) -> &EngineId {
        &self.id
    }

    fn accepted_ids(&self) -> &[EngineId] {
        &self.accepted
    }

    fn instance(&self) -> &EngineInstance {
        &self.instance
    }

    /// `None`: dropping a module frees next to nothing, as wasmer keeps its code for as long as the engine
    /// lives. A memory cache that evicted it to save memory would spend more when it is loaded again.
    fn weight(&self, _: &Module) -> Option<u64> {
        None
    }
}
