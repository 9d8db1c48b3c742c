//! An entry, as far as a listing tells.

use std::time::SystemTime;

use crate::ModuleHash;

/// An entry as a listing of its storage describes it: nothing of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedEntry {
    /// The engine's label, a dash, and the first 16 digits of its digest, as [`EngineId`](crate::EngineId) displays
    /// it.
    pub engine: String,
    /// The module.
    pub hash: ModuleHash,
    /// Its length as it is stored; 0 where a listing does not say.
    pub bytes: u64,
    /// When it was stored, if a listing says.
    pub stored: Option<SystemTime>,
    /// When it was last used, if the storage remembers.
    pub last_use: Option<SystemTime>,
}

impl ListedEntry {
    /// An entry of which no times are known.
    pub fn new(engine: impl Into<String>, hash: ModuleHash, bytes: u64) -> Self {
        Self {
            engine: engine.into(),
            hash,
            bytes,
            stored: None,
            last_use: None,
        }
    }
}
