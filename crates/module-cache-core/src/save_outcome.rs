//! What came of a save that did not fail.

use std::fmt;

/// What [`save`](crate::ModuleCache::save) did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum SaveOutcome {
    /// The module is in the cache now.
    Stored {
        /// What it takes there, in bytes; 0 where the engine cannot tell.
        bytes: u64,
    },
    /// The module was not stored, and that is fine.
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
    /// The storage can be read only.
    ReadOnly,
    /// The module alone is larger than the cache may become.
    TooLarge,
    /// The storage has no room.
    NoSpace,
    /// Somebody else held the storage for too long.
    Busy,
    /// Something that is not an entry stands in its place.
    Occupied,
    /// Too much is waiting to be stored already.
    Overloaded,
    /// The storage did not answer lately, and is left alone for a while.
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
