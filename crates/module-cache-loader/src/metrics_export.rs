//! What is exported through the `metrics` crate: how long loads take, and what loaders and caches have counted.

use std::time::Duration;

use metrics::{
    SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use module_cache_core::CacheStats;

use crate::{LoaderStats, Source, TierStats};

const LOAD_DURATION: &str = "module_cache_load_duration_seconds";
const COMPILE_DURATION: &str = "module_cache_compile_duration_seconds";

/// Registers the description and unit of each metric of this crate with the installed recorder.
///
/// ```
/// use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
/// use module_cache_loader::{ModuleLoader, describe_metrics, record_cache_stats, record_loader_stats};
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
/// record_loader_stats("plugins", &loader.stats());
/// record_cache_stats("memory", &memory.stats());
/// let page = prometheus.render();
/// assert!(page.contains("module_cache_loads_total{loader=\"plugins\",source=\"compiled\"} 1"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn describe_metrics() {
    describe_histogram!(
        LOAD_DURATION,
        Unit::Seconds,
        "Time of loads, including waits and without resident hits"
    );
    describe_histogram!(
        COMPILE_DURATION,
        Unit::Seconds,
        "Time that the engine took to compile a module"
    );
    for (name, unit, meaning, _) in CACHE_METRICS {
        describe_counter!(name, unit, meaning);
    }
    for (name, meaning, _, _) in LOADER_METRICS {
        describe_counter!(name, Unit::Count, meaning);
    }
    for (name, meaning, _) in TIER_METRICS {
        describe_counter!(name, Unit::Count, meaning);
    }
    describe_gauge!(
        PENDING_UPGRADES,
        Unit::Count,
        "Modules on the fast tier that are being upgraded or wait for it"
    );
}

/// Reports what a loader has counted, labelled `loader="<name>"`; an example is at [`describe_metrics`].
///
/// The host calls this whenever metrics are collected: before each scrape, or every few seconds. A load does not report by
/// itself, because a counter that all threads write would take longer than a resident hit.
///
/// The counts are totals, so give each loader its own name: two loaders of one name overwrite each other's counts.
pub fn record_loader_stats(name: impl Into<SharedString>, stats: &LoaderStats) {
    let name = name.into();
    for (metric, _, source, count) in LOADER_METRICS {
        let counter = if let Some(source) = source {
            counter!(metric, "loader" => name.clone(), "source" => source.as_str())
        } else {
            counter!(metric, "loader" => name.clone())
        };
        counter.absolute(count(stats));
    }
}

/// Reports what a loader of two tiers has counted: each tier as [`record_loader_stats`] does, labelled
/// `loader="<name>-fast"` and `loader="<name>-best"`, and its upgrades, labelled `loader="<name>"`.
///
/// ```
/// # use module_cache_core::Tiers;
/// # use module_cache_loader::{TieredLoader, record_tier_stats};
/// # use module_cache_testkit::{ReferenceCache, TestEngine};
/// # let tiers = Tiers::pair(TestEngine::new("fast"), TestEngine::new("best"))?;
/// let loader = TieredLoader::new(tiers, ReferenceCache::new());
/// record_tier_stats("plugins", &loader.stats());
/// # Ok::<(), module_cache_core::EngineError>(())
/// ```
pub fn record_tier_stats(name: impl Into<SharedString>, stats: &TierStats) {
    let name = name.into();
    record_loader_stats(format!("{name}-fast"), &stats.fast);
    record_loader_stats(format!("{name}-best"), &stats.best);
    for (metric, _, count) in TIER_METRICS {
        counter!(metric, "loader" => name.clone()).absolute(count(stats));
    }
    gauge!(PENDING_UPGRADES, "loader" => name).set(f64::from(
        u32::try_from(stats.pending_upgrades).unwrap_or(u32::MAX),
    ));
}

/// Reports what a cache has counted, labelled `cache="<name>"`; an example is at [`describe_metrics`].
///
/// A loader has one cache, so a host that wants the numbers of each layer keeps a handle of each (caches are cheap to
/// clone) and calls this for each of them, whenever metrics are collected. Each number costs a look-up in the recorder.
///
/// The counts are totals, so give each cache its own name: two caches of one name overwrite each other's counts.
pub fn record_cache_stats(name: impl Into<SharedString>, stats: &CacheStats) {
    let name = name.into();
    for (metric, _, _, count) in CACHE_METRICS {
        counter!(metric, "cache" => name.clone()).absolute(count(stats));
    }
}

/// How long a load took that was not resident.
pub(crate) fn load_took(source: Source, elapsed: Duration) {
    histogram!(LOAD_DURATION, "source" => source.as_str()).record(elapsed);
}

/// How long the engine took to compile a module.
pub(crate) fn compile_took(elapsed: Duration) {
    histogram!(COMPILE_DURATION).record(elapsed);
}

type LoaderMetric = (
    &'static str,
    &'static str,
    Option<Source>,
    fn(&LoaderStats) -> u64,
);

const LOADS: &str = "module_cache_loads_total";
const LOADS_MEAN: &str = "Modules loaded, by where they came from";

const LOADER_METRICS: [LoaderMetric; 7] = [
    (LOADS, LOADS_MEAN, Some(Source::Resident), |stats| {
        stats.resident
    }),
    (LOADS, LOADS_MEAN, Some(Source::Stored), |stats| {
        stats.stored
    }),
    (LOADS, LOADS_MEAN, Some(Source::Compiled), |stats| {
        stats.compiled
    }),
    (
        "module_cache_coalesced_total",
        "Loads that waited for another one of the same module",
        None,
        |stats| stats.coalesced,
    ),
    (
        "module_cache_failed_loads_total",
        "Loads that ended in an error",
        None,
        |stats| stats.failed,
    ),
    (
        "module_cache_known_invalid_total",
        "Loads of wasm that was refused before, and was not compiled again",
        None,
        |stats| stats.known_invalid,
    ),
    (
        "module_cache_cache_errors_total",
        "Errors of the cache, which cost time and do not fail a load",
        None,
        |stats| stats.cache_errors,
    ),
];

const PENDING_UPGRADES: &str = "module_cache_pending_upgrades";

type TierMetric = (&'static str, &'static str, fn(&TierStats) -> u64);

const TIER_METRICS: [TierMetric; 3] = [
    (
        "module_cache_upgrades_total",
        "Modules that went from the fast tier to the best",
        |stats| stats.upgraded,
    ),
    (
        "module_cache_failed_upgrades_total",
        "Modules that stayed on the fast tier",
        |stats| stats.failed_upgrades,
    ),
    (
        "module_cache_loads_without_fast_total",
        "Loads of wasm that the fast tier cannot compile",
        |stats| stats.without_fast,
    ),
];

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
        "Entries that were found damaged; a folder deletes them",
        |stats| stats.corrupt,
    ),
    (
        "module_cache_rejected_entries_total",
        Unit::Count,
        "Undamaged entries that could not be used; they stay",
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
