//! The outcome of a save that did not fail.

use std::fmt;

/// What [`save`](crate::ModuleCache::save) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SaveOutcome {
    /// The module is in the cache now.
    Stored {
        /// Its size there, in bytes; 0 if the engine cannot tell.
        bytes: u64,
    },
    /// The module was not stored, which is not an error.
    Skipped(SkipReason),
}

impl SaveOutcome {
    /// Whether the module was stored by this call.
    pub fn is_stored(self) -> bool {
        matches!(self, Self::Stored { .. })
    }
}

/// Why a module was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The cache has it already.
    AlreadyStored,
    /// There is no storage.
    Absent,
    /// The storage is read-only.
    ReadOnly,
    /// The module alone is larger than the limit of the cache.
    TooLarge,
    /// The storage has no room.
    NoSpace,
    /// The storage was locked for too long.
    Busy,
    /// Something that is not an entry is in its place.
    Occupied,
    /// Too many entries are waiting to be stored.
    Overloaded,
    /// The storage has failed recently, and is not used for a while.
    Unreachable,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::AlreadyStored => "it is already stored",
            Self::Absent => "there is no storage",
            Self::ReadOnly => "the storage is read-only",
            Self::TooLarge => "it is larger than the limit of the cache",
            Self::NoSpace => "there is no space left",
            Self::Busy => "the storage was locked for too long",
            Self::Occupied => "something that is not an entry is in its place",
            Self::Overloaded => "too many entries are waiting to be stored",
            Self::Unreachable => "the storage has failed recently",
        })
    }
}
