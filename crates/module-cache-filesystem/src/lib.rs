#![doc = include_str!("../README.md")]
//!
//! # What is in the folder
//!
//! ```text
//! <root>/CACHEDIR.TAG, .gitignore
//! <root>/v1/<engine label>-<16 hex of its digest>/<module hash>    the entries, mode 0444
//! <root>/v1/hints           last uses, and what was verified since the file system was mounted
//! <root>/v1/files           the hashes of wasm files, by their identity
//! <root>/v1/ledger          how many bytes the entries take
//! <root>/v1/limit           how many they may take, where that was said
//! <root>/v1/tmp/…           entries being written, each locked by its writer
//! <root>/v1/locks/…         permits to compile, one lock for each key
//! ```
//!
//! # Locking
//!
//! Loads take no lock. A save writes a temporary file, syncs it unless the entry was fetched, and renames it into place, so a
//! reader sees the whole entry or none. [Permits](module_cache_core::ModuleCache::compile_permit) are `flock`s, which the system releases when their
//! holder dies. Changes of the number of published bytes (publishing, removing, pruning) are made under the lock of the
//! ledger. A forked child that lives on shares the locks that its parent held when it forked.
//!
//! # Limits
//!
//! The entries, and what is being written, never take more than [`max_size`](FileSystemCacheBuilder::max_size), with any
//! number of processes, even if some are killed (`tests/cap_under_load.rs`): each change is journaled in the ledger before
//! it is made, and room is reserved before it is filled. The limit is stored in the folder. The total is known without a
//! scan. Making room scans once, and removes the least recently used entries down to 90 %, so that it is rare.
//!
//! # Platforms
//!
//! On Linux, entries on local disks are mapped, and their verification is remembered until the file system is mounted
//! again. On overlay file systems, as in containers, this applies to entries that were stored since it was mounted. Other
//! entries there, and all entries on network file systems, where a file can change behind a mapping, are read into private
//! memory and verified on each load. So are all entries on other systems, unless
//! [`experimental_mapping`](FileSystemCacheBuilder::experimental_mapping) is set.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
compile_error!(
    "module-cache-filesystem needs a file system, which wasm32-unknown-unknown has not; \
     depend on module-cache-memory there"
);

mod builder;
#[cfg(feature = "bundle")]
mod bundle;
mod clock;
mod default_dir;
mod directory;
mod engine_folder;
mod explain_miss;
mod file_hashes;
mod file_system_cache;
mod folder;
mod heartbeat;
mod hints;
mod interrupted;
mod layout;
mod ledger;
mod limit;
mod lock;
mod maintenance;
mod open_entry;
mod permit;
mod platform;
mod policy;
mod positional;
mod prune;
mod publish;
mod scan;
mod storage;
mod table;
mod temporary;
mod trust_check;
mod usage;
mod verify;

pub use builder::FileSystemCacheBuilder;
#[cfg(feature = "bundle")]
pub use bundle::{ExportReport, ImportReport, Refused};
pub use file_system_cache::FileSystemCache;
pub use policy::Verification;
pub use prune::{PruneOptions, PruneReport};
pub use usage::{EngineUsage, Usage};
pub use verify::{Fault, VerifyReport};
