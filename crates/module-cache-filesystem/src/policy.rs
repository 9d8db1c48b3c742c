//! The rules of an open folder, as its options set them: whose entries are used, when they are verified, and which are mapped.

use std::time::Duration;

use module_cache_core::{KeyId, Trust};

use crate::platform;
use crate::storage::Storage;

/// The rules of a folder.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) trust: Trust,
    /// Whose entries are used of those that were fetched from elsewhere; `None` for everybody's.
    pub(crate) origins: Option<Trust>,
    /// `None` for what is fit for the disk.
    pub(crate) min_free: Option<u64>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) verify: Verify,
    /// Whether entries are mapped where they are otherwise not.
    pub(crate) experimental_mapping: bool,
    /// The user whose entries are accepted beside root's; `None` for everybody's.
    pub(crate) owner_check: Option<u32>,
}

/// When a [`FileSystemCache`](crate::FileSystemCache) hashes an entry before it hands it to an engine.
///
/// In any case, the entry's owner, permissions, length, module and engine are checked on every load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verification {
    /// On every load.
    Always,
    /// On the first load since the file system was mounted (on systems that do not tell one mount from another, since the
    /// machine started), and again whenever the file has changed since. This finds damage that a disk did meanwhile, but not
    /// damage in memory.
    #[default]
    OncePerMount,
}

/// [`Verification`], and what it takes an unsafe call to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    When(Verification),
    Never,
}

/// Which entries are mapped, or else copied into private memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Map {
    All,
    /// Those that were written here since the file system was mounted.
    Own,
    None,
}

impl Policy {
    /// Under which trust an entry is verified that says that it was signed so.
    pub(crate) fn trust_in(&self, key: Option<KeyId>) -> &Trust {
        match &self.origins {
            // The folder's own key is for all that is in it.
            Some(origins) if key.is_some() && !self.trust.is_signed() => origins,
            _ => &self.trust,
        }
    }

    /// Whether anything is mapped on this system.
    pub(crate) fn maps(&self) -> bool {
        platform::MAPS || self.experimental_mapping
    }

    pub(crate) fn map_on(&self, storage: Storage) -> Map {
        match storage {
            _ if !self.maps() => Map::None,
            // Who has a key says that others can write here.
            _ if self.trust.is_signed() => Map::None,
            // Nobody but root writes to an entry without changing its permissions first.
            Storage::Local | Storage::Memory => Map::All,
            Storage::Layered => Map::Own,
            Storage::Remote => Map::None,
        }
    }
}
