//! What a [`TestEngine`](crate::TestEngine) compiles.

use std::fmt;
use std::sync::Arc;

use module_cache_core::instance::InstanceId;
use module_cache_core::{EngineId, ModuleHash};

/// A module that knows its wasm and the engine object it belongs to, so that a test can tell whether it
/// got the right one. Clones share one object.
#[derive(Clone)]
pub struct TestModule(Arc<Object>);

struct Object {
    instance: InstanceId,
    code_id: EngineId,
    wasm: Vec<u8>,
}

impl TestModule {
    pub(crate) fn new(instance: InstanceId, code_id: EngineId, wasm: &[u8]) -> Self {
        Self(Arc::new(Object {
            instance,
            code_id,
            wasm: wasm.to_vec(),
        }))
    }

    /// The engine object that compiled or loaded it.
    pub fn instance(&self) -> InstanceId {
        self.0.instance
    }

    /// The id of the engine that compiled it, here or elsewhere.
    pub fn code_id(&self) -> &EngineId {
        &self.0.code_id
    }

    /// The wasm it was compiled from.
    pub fn wasm(&self) -> &[u8] {
        &self.0.wasm
    }

    /// The [`Engine::weight`](module_cache_core::Engine::weight) of the module: the length of the wasm.
    pub fn weight(&self) -> u64 {
        self.0.wasm.len() as u64
    }

    /// Whether both are clones of one object, rather than the same wasm twice.
    pub fn is_same_object(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// In place of the wasm its length and hash: it may have megabytes.
impl fmt::Debug for TestModule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("TestModule")
            .field("instance", &self.0.instance)
            .field("len", &self.0.wasm.len())
            .field("wasm", &ModuleHash::of(&self.0.wasm))
            .finish()
    }
}
