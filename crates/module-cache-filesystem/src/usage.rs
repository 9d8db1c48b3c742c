//! What a folder holds, counted by listing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::directory::blocks;
use crate::scan::Listing;

/// The contents of a cache folder, as counted by [`FileSystemCache::usage`](crate::FileSystemCache::usage).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The number of entries.
    pub entries: u64,
    /// Their size in bytes, in whole blocks of 4 KiB, as the limit counts them.
    pub bytes: u64,
    /// The same for each engine, by the name of its folder.
    pub engines: BTreeMap<String, EngineUsage>,
    /// Files that this crate did not create.
    pub unknown_files: Vec<PathBuf>,
}

/// The entries of one engine in a cache folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineUsage {
    /// The number of entries.
    pub entries: u64,
    /// Their size in bytes, in whole blocks of 4 KiB.
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
