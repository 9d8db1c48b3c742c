//! An engine whose modules are nothing but a reference count.

use std::sync::Arc;

use module_cache_core::instance::EngineInstance;
use module_cache_core::{Compile, Engine, EngineError, EngineId};

/// What real modules are to a cache in memory: something behind an [`Arc`].
pub type BareModule = Arc<u64>;

/// An engine for measuring caches of live modules.
#[derive(Debug, Clone)]
pub struct BareEngine {
    id: EngineId,
    instance: EngineInstance,
}

impl BareEngine {
    /// An engine of its own.
    #[expect(
        clippy::new_without_default,
        reason = "each one is another engine, as with real ones"
    )]
    pub fn new() -> Self {
        Self {
            id: EngineId::builder("bare").build(),
            instance: EngineInstance::new(),
        }
    }
}

impl Engine for BareEngine {
    type Module = BareModule;

    fn id(&self) -> &EngineId {
        &self.id
    }

    fn instance(&self) -> &EngineInstance {
        &self.instance
    }

    /// One, so that budgets are counted in modules.
    fn weight(&self, _: &BareModule) -> Option<u64> {
        Some(1)
    }
}

impl Compile for BareEngine {
    fn compile(&self, wasm: &[u8]) -> Result<BareModule, EngineError> {
        Ok(Arc::new(wasm.len() as u64))
    }
}
