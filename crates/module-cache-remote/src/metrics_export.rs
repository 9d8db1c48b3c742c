//! What is exported through the `metrics` crate: what only a remote cache counts.

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};

use crate::RemoteStats;

type Metric = (&'static str, Unit, &'static str, fn(&RemoteStats) -> u64);

const OUT: &str = "module_cache_remote_out";

const METRICS: [Metric; 13] = [
    (
        "module_cache_remote_fetched_bytes_total",
        Unit::Bytes,
        "Bytes of entries that were fetched",
        |stats| stats.bytes_fetched,
    ),
    (
        "module_cache_remote_uploaded_bytes_total",
        Unit::Bytes,
        "Bytes of entries that were uploaded",
        |stats| stats.bytes_uploaded,
    ),
    (
        "module_cache_remote_failed_uploads_total",
        Unit::Count,
        "Uploads that failed",
        |stats| stats.failed_uploads,
    ),
    (
        "module_cache_remote_dropped_uploads_total",
        Unit::Count,
        "Saves that were dropped because the queue was full",
        |stats| stats.dropped_uploads,
    ),
    (
        "module_cache_remote_outages_total",
        Unit::Count,
        "Outages of the storage",
        |stats| stats.outages,
    ),
    (
        "module_cache_remote_short_circuited_total",
        Unit::Count,
        "Calls that did not ask the storage because it had failed recently",
        |stats| stats.short_circuited,
    ),
    (
        "module_cache_remote_retries_total",
        Unit::Count,
        "Requests that were repeated",
        |stats| stats.retries,
    ),
    (
        "module_cache_remote_throttled_total",
        Unit::Count,
        "Requests that the storage refused because of overload",
        |stats| stats.throttled,
    ),
    (
        "module_cache_remote_takeovers_total",
        Unit::Count,
        "Leases that were taken over from hosts that had died",
        |stats| stats.takeovers,
    ),
    (
        "module_cache_remote_lease_waits_total",
        Unit::Count,
        "Waits for a host that compiled the module",
        |stats| stats.lease_waits,
    ),
    (
        "module_cache_remote_failed_leases_total",
        Unit::Count,
        "Leases that could not be asked for or watched",
        |stats| stats.failed_leases,
    ),
    (
        "module_cache_remote_answers_total",
        Unit::Count,
        "Loads that got a first answer from the storage",
        |stats| stats.answers,
    ),
    (
        "module_cache_remote_answer_microseconds_total",
        Unit::Microseconds,
        "Time that loads waited for their first answer",
        |stats| stats.answer_micros,
    ),
];

/// Registers the description and unit of each metric of [`record_remote_stats`] with the installed recorder.
pub fn describe_remote_metrics() {
    for (name, unit, meaning, _) in METRICS {
        describe_counter!(name, unit, meaning);
    }
    describe_gauge!(
        OUT,
        Unit::Count,
        "1 while the storage is not used because it failed, or else 0"
    );
}

/// Reports what only a remote cache counts, labelled `cache="<name>"`. The host calls it whenever metrics are collected, beside
/// `record_cache_stats` of `module-cache-loader`, which reports hits and misses.
///
/// ```
/// use metrics_exporter_prometheus::PrometheusBuilder;
/// use module_cache_core::{SharedKey, Trust};
/// use module_cache_remote::{RemoteCache, record_remote_stats};
///
/// let recorder = PrometheusBuilder::new().build_recorder();
/// let trust = Trust::shared(SharedKey::from_bytes([7; 32]));
/// let cache = RemoteCache::from_uri("memory:///", trust)?.build();
/// metrics::with_local_recorder(&recorder, || record_remote_stats("fleet", &cache.remote_stats()));
/// let page = recorder.handle().render();
/// assert!(page.contains("module_cache_remote_out{cache=\"fleet\"} 0"));
/// assert!(page.contains("module_cache_remote_outages_total{cache=\"fleet\"} 0"));
/// # Ok::<(), module_cache_core::CacheError>(())
/// ```
pub fn record_remote_stats(name: impl Into<SharedString>, stats: &RemoteStats) {
    let name = name.into();
    for (metric, _, _, count) in METRICS {
        counter!(metric, "cache" => name.clone()).absolute(count(stats));
    }
    gauge!(OUT, "cache" => name).set(u8::from(stats.is_out));
}
