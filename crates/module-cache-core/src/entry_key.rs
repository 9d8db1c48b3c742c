//! The key of a stored entry: a module, and the engine id it was compiled for.

use std::fmt;

use crate::{EngineId, ModuleHash};

/// Names one stored entry: a module, and the engine id it was compiled for.
///
/// It displays as `<engine label>-<16 hex digits>/<64 hex digits>`, which can serve as the entry's name in a storage:
/// letters, digits, `.`, `_`, `-`, and one `/`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EntryKey {
    hash: ModuleHash,
    engine: EngineId,
}

impl EntryKey {
    /// The key of the module of this hash as compiled by engines with id `engine`.
    pub fn new(hash: ModuleHash, engine: EngineId) -> Self {
        Self { hash, engine }
    }

    /// The module's hash.
    pub fn hash(&self) -> ModuleHash {
        self.hash
    }

    /// The engine.
    pub fn engine(&self) -> &EngineId {
        &self.engine
    }
}

impl fmt::Display for EntryKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.engine, self.hash)
    }
}
