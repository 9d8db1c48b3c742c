//! Statistics that only a remote cache has.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a [`RemoteCache`](crate::RemoteCache) and its clones have done, beside their
/// [`CacheStats`](module_cache_core::CacheStats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RemoteStats {
    /// Bytes of the content of entries that were fetched, compressed.
    pub bytes_fetched: u64,
    /// Bytes of entries that were uploaded, compressed.
    pub bytes_uploaded: u64,
    /// Uploads that failed.
    pub failed_uploads: u64,
    /// Saves that were dropped because the queue was full.
    pub dropped_uploads: u64,
    /// Outages: how often the storage stopped working.
    pub outages: u64,
    /// Calls that did not ask the storage because it had failed recently.
    pub short_circuited: u64,
    /// Requests that were repeated because they failed for a transient reason.
    pub retries: u64,
    /// Requests that the storage refused because of overload.
    pub throttled: u64,
    /// Leases of other hosts that had died, and were taken over.
    pub takeovers: u64,
    /// Waits for another host that compiled the module.
    pub lease_waits: u64,
    /// Leases that could not be asked for or watched.
    pub failed_leases: u64,
    /// Loads that got a first answer from the storage.
    pub answers: u64,
    /// The total time that they waited for it, in microseconds.
    pub answer_micros: u64,
    /// Whether the storage is not used at the moment, because it has failed.
    pub is_out: bool,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(crate) struct RemoteCounters {
    pub(crate) bytes_fetched: Count,
    pub(crate) bytes_uploaded: Count,
    pub(crate) failed_uploads: Count,
    pub(crate) dropped_uploads: Count,
    pub(crate) retries: Count,
    pub(crate) throttled: Count,
    pub(crate) takeovers: Count,
    pub(crate) lease_waits: Count,
    pub(crate) failed_leases: Count,
    pub(crate) answers: Count,
    pub(crate) answer_micros: Count,
}

impl RemoteCounters {
    pub(crate) fn answered(&self, after: Duration) {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.answers.add(1);
        self.answer_micros.add(micros);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds, and says whether this is the first time.
    pub(crate) fn add(&self, count: u64) -> bool {
        self.0.fetch_add(count, Ordering::Relaxed) == 0
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
