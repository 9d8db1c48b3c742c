//! What a folder holds, counted by looking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use module_cache_core::ModuleHash;

use crate::clock;
use crate::ledger::blocks;
use crate::scan::{Listed, Listing};

/// What is in a cache folder, of all processes. Made by
/// [`FileSystemCache::usage`](crate::FileSystemCache::usage).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// How many entries there are.
    pub entries: u64,
    /// The bytes that they take, in whole blocks of 4 KiB: what the cap is about.
    pub bytes: u64,
    /// The same for each engine, by the name of its folder.
    pub engines: BTreeMap<String, EngineUsage>,
    /// What this crate did not make.
    pub foreign: Vec<PathBuf>,
}

/// What a cache folder holds for one engine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineUsage {
    /// How many entries there are.
    pub entries: u64,
    /// The bytes that they take, in whole blocks of 4 KiB.
    pub bytes: u64,
}

/// One entry of a cache folder, as far as its name and attributes tell. Made by
/// [`FileSystemCache::list`](crate::FileSystemCache::list).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The name of its engine's folder: a label and the first digits of the engine's digest.
    pub engine: String,
    /// The module.
    pub module: ModuleHash,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored.
    pub stored: SystemTime,
    /// When it was last used, to half a minute, as far as that is remembered; else when it was stored.
    pub last_use: SystemTime,
}

impl Usage {
    pub(crate) fn of(listing: &Listing, directory: &Path) -> Self {
        let foreign = listing
            .foreign
            .iter()
            .map(|name| directory.join(name))
            .collect();
        let mut usage = Self {
            foreign,
            ..Self::default()
        };
        for entry in &listing.entries {
            let bytes = blocks(entry.attributes.size);
            let engine = usage.engines.entry(entry.engine.clone()).or_default();
            engine.entries += 1;
            engine.bytes += bytes;
            usage.entries += 1;
            usage.bytes += bytes;
        }
        usage
    }
}

impl EntryInfo {
    /// The bytes that it takes, in whole blocks of 4 KiB.
    pub fn bytes(&self) -> u64 {
        blocks(self.len)
    }

    pub(crate) fn of(entry: &Listed, last_use: Duration) -> Self {
        let stored = clock::from_nanoseconds(entry.attributes.modified);
        Self {
            engine: entry.engine.clone(),
            module: entry.module,
            len: entry.attributes.size,
            stored: UNIX_EPOCH + stored,
            last_use: UNIX_EPOCH + last_use,
        }
    }
}
