//! Times as this crate writes and compares them: since 1970, never before; and which run of the machine this is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the clock says.
pub(crate) fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// A time of a file, as its attributes hold it.
pub(crate) fn from_nanoseconds(time: i64) -> Duration {
    Duration::from_nanos(u64::try_from(time).unwrap_or(0))
}

/// A number that differs between boots; `None` where the system does not tell.
///
/// What was verified before a boot may have been changed by a crash, by another system that mounted the
/// disk, or by a file system check.
pub(crate) fn boot_id() -> Option<u64> {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let hash = module_cache_core::ModuleHash::of(&text);
    hash.as_bytes()
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first))
}
