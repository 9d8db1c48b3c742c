//! Times as this crate writes and compares them: since 1970, never before.

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
