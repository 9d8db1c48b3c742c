//! An entry as a listing describes it.

use std::time::SystemTime;

use crate::ModuleHash;

/// An entry as a listing of its storage describes it; the entry itself was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedEntry {
    /// The engine's label, a dash, and the first 16 digits of its digest, as [`EngineId`](crate::EngineId) displays
    /// it.
    pub engine: String,
    /// The module.
    pub hash: ModuleHash,
    /// Its length as it is stored; 0 if the listing does not have it.
    pub bytes: u64,
    /// When it was stored, if the listing has it.
    pub stored: Option<SystemTime>,
    /// When it was last used, if the storage records it.
    pub last_use: Option<SystemTime>,
}

impl ListedEntry {
    /// An entry whose times are not known.
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
