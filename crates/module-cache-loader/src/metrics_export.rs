//! What hosts call to export metrics: descriptions, and the counts of caches.

use metrics::{Unit, counter, describe_counter};
use module_cache_core::CacheStats;

use crate::instruments;

/// Tells the installed recorder what each metric of this crate means, and its unit.
///
/// The recorder comes first, then loaders: they report to the one that is installed when they are made.
///
/// ```
/// use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
/// use module_cache_loader::{ModuleLoader, describe_metrics, record_cache_stats};
/// use module_cache_memory::SharedCache;
/// # use module_cache_core::HashedModule;
/// # use module_cache_testkit::{TestEngine, wasm};
/// # let (engine, module) = (TestEngine::new("doc"), HashedModule::new(wasm(1, 100)));
///
/// let prometheus = PrometheusBuilder::new()
///     .set_buckets_for_metric(Matcher::Suffix("_duration_seconds".into()), &[0.001, 0.1, 10.0])?
///     .install_recorder()?;
/// describe_metrics();
///
/// let memory = SharedCache::new();
/// let loader = ModuleLoader::new(engine, memory.clone());
/// loader.load(&module)?;
///
/// // What a server answers at /metrics:
/// record_cache_stats("memory", &memory.stats());
/// let page = prometheus.render();
/// assert!(page.contains("module_cache_loads_total{source=\"compiled\"} 1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn describe_metrics() {
    instruments::describe();
    for (name, unit, meaning, _) in CACHE_METRICS {
        describe_counter!(name, unit, meaning);
    }
}

/// Reports what a cache has counted, labelled `cache="<name>"`; an example is at [`describe_metrics`].
///
/// A loader knows its cache as one thing, so a host that wants the numbers of each tier keeps a handle of
/// it (caches are cheap to clone) and calls this for each whenever metrics are collected: in front of a
/// scrape, or every few seconds. It costs a look-up for each number.
///
/// The counts are totals: one cache, one name, or two caches will overwrite each other's.
pub fn record_cache_stats(name: &'static str, stats: &CacheStats) {
    for (metric, _, _, count) in CACHE_METRICS {
        counter!(metric, "cache" => name).absolute(count(stats));
    }
}

type CacheMetric = (&'static str, Unit, &'static str, fn(&CacheStats) -> u64);

const CACHE_METRICS: [CacheMetric; 9] = [
    (
        "module_cache_hits_total",
        Unit::Count,
        "Loads that found the module",
        |stats| stats.hits,
    ),
    (
        "module_cache_misses_total",
        Unit::Count,
        "Loads that did not find the module",
        |stats| stats.misses,
    ),
    (
        "module_cache_saves_total",
        Unit::Count,
        "Modules that were stored",
        |stats| stats.saves,
    ),
    (
        "module_cache_skipped_saves_total",
        Unit::Count,
        "Saves that were skipped, other than for being stored already",
        |stats| stats.skipped,
    ),
    (
        "module_cache_corrupt_entries_total",
        Unit::Count,
        "Entries that were found damaged, and deleted",
        |stats| stats.corrupt,
    ),
    (
        "module_cache_rejected_entries_total",
        Unit::Count,
        "Whole entries that could not be used; they stay",
        |stats| stats.rejected,
    ),
    (
        "module_cache_backend_errors_total",
        Unit::Count,
        "Calls in which the cache itself could not work",
        |stats| stats.errors,
    ),
    (
        "module_cache_evictions_total",
        Unit::Count,
        "Modules or entries evicted to make room",
        |stats| stats.evictions,
    ),
    (
        "module_cache_saved_bytes_total",
        Unit::Bytes,
        "Bytes that were stored",
        |stats| stats.bytes_saved,
    ),
];
