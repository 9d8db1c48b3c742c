//! Systems of which nothing is known but that they are Unix: entries are read and verified on each load.

use std::os::fd::AsFd;

use crate::storage::Storage;

/// Whether entries are mapped where nothing is said.
pub(crate) const MAPS: bool = false;

/// What differs between boots.
pub(crate) fn boot_id() -> Option<Vec<u8>> {
    None
}

/// What is known of where an open file comes from.
pub(crate) fn storage(_: impl AsFd) -> Storage {
    Storage::Remote
}

/// The mount that an open file is on.
pub(crate) fn mount(_: impl AsFd) -> Option<u64> {
    None
}
