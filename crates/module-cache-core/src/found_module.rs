//! A module, and the engine id that a cache found it under.

use crate::{Engine, EngineId, EntryKey};

/// What [`ModuleCache::find`](crate::ModuleCache::find) found.
#[derive(Debug, Clone)]
pub struct FoundModule<M> {
    /// The module.
    pub module: M,
    /// Which of the engine's [accepted ids](crate::Engine::accepted_ids) it was stored under; `None` if it is code of the
    /// engine's own id, or a live module of this process.
    pub accepted_id: Option<EngineId>,
}

impl<M> FoundModule<M> {
    /// The module that `engine` loaded from the entry of `key`.
    pub fn of_entry(module: M, key: &EntryKey, engine: &impl Engine) -> Self {
        Self {
            module,
            accepted_id: (key.engine() != engine.id()).then(|| *key.engine()),
        }
    }

    /// A module of the engine's own id.
    pub const fn own(module: M) -> Self {
        Self {
            module,
            accepted_id: None,
        }
    }
}
