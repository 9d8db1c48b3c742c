//! What a folder holds, counted by looking.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::ledger::blocks;
use crate::scan::Listing;

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
    pub unknown_files: Vec<PathBuf>,
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

impl Usage {
    pub(crate) fn of(listing: &Listing, directory: &Path) -> Self {
        let unknown_files = listing
            .unknown_files
            .iter()
            .map(|name| directory.join(name))
            .collect();
        let mut usage = Self {
            unknown_files,
            ..Self::default()
        };
        for entry in &listing.entries {
            let bytes = blocks(entry.attributes.size);
            let engine = usage.engines.entry(entry.engine.clone()).or_default();
            engine.entries += 1;
            engine.bytes = engine.bytes.saturating_add(bytes);
            usage.entries += 1;
            usage.bytes = usage.bytes.saturating_add(bytes);
        }
        usage
    }
}
