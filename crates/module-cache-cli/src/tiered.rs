//! Loading for `run --tiered`: what compiles fast is run, and what is fast is compiled for later runs.

use std::any::Any;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Result;
use module_cache::ModuleCache;
use module_cache::backend::{ArtifactEngine, Compile, EngineError, EngineId, Tiers};
use module_cache::loader::{LoadError, Loaded, Tier, Tiered, TieredLoader};
use module_cache_wasmtime::{CpuLevel, EngineBuilder};

use crate::engine::{self, Code};
use crate::remote;
use crate::wasm_file::{Kind, WasmFile};

/// What is compiled while the program runs.
pub(crate) struct Behind {
    handle: Tiered<Code>,
    /// Whose code is stored in the end.
    best: EngineId,
    /// Dropped, it would give up.
    _loader: Box<dyn Any>,
}

impl Behind {
    /// Waits until it is stored, and names the engine whose code it is.
    ///
    /// # Errors
    ///
    /// When it does not compile.
    pub(crate) fn finish(self) -> Result<EngineId, LoadError> {
        self.handle.wait_upgraded().map(|()| self.best)
    }
}

/// Loads the code of a file, or compiles it fast, and names the engine whose code it is. What is fast is compiled behind it if
/// it can be stored.
///
/// # Errors
///
/// When it is not in the cache and cannot be compiled.
pub(crate) fn load(
    cache: &Arc<remote::Layers>,
    file: WasmFile,
    stores: bool,
) -> Result<(EngineId, Loaded<Arc<Code>>, Behind)> {
    match file.kind() {
        Kind::Module => load_by(
            cache,
            file,
            stores,
            EngineBuilder::module_tiers,
            Code::Module,
        ),
        Kind::Component => load_by(
            cache,
            file,
            stores,
            EngineBuilder::component_tiers,
            Code::Component,
        ),
    }
}

fn load_by<E>(
    cache: &Arc<remote::Layers>,
    file: WasmFile,
    stores: bool,
    make: impl Fn(&EngineBuilder) -> Result<Tiers<E, E>, EngineError>,
    code: fn(E::Module) -> Code,
) -> Result<(EngineId, Loaded<Arc<Code>>, Behind)>
where
    E: ArtifactEngine + Compile<Module: Send + Sync> + Send + Sync + 'static,
{
    let hash = file.hash();
    let mut tiers = make(&engine::builder(&[], None))?;
    // As without tiers.
    if !matches!(cache.primary().load(hash, tiers.best()), Ok(Some(_))) {
        tiers = make(&engine::builder(CpuLevel::ALL, None))?;
    }
    let loader = TieredLoader::new(tiers, Arc::clone(cache));
    if !stores {
        loader.pause_upgrades();
    }
    let fetch = move || file.fetch().map(Cow::into_owned);
    let prepare = move |_, _: &E, module| Ok::<_, Infallible>(code(module));
    let loaded = loader.load_with(hash, fetch, prepare)?;
    let handle = loaded.module.clone();
    let best = *loader.best_engine().id();
    let own = match handle.tier() {
        Tier::Fast => *loader.fast_engine().id(),
        Tier::Best => best,
    };
    let id = loaded.accepted_id.as_deref().copied().unwrap_or(own);
    let behind = Behind {
        best: if handle.tier() == Tier::Best {
            id
        } else {
            best
        },
        handle,
        _loader: Box::new(loader),
    };
    Ok((id, loaded.map(|handle| handle.get()), behind))
}
