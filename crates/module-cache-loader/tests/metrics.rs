//! What a Prometheus server would scrape.

use std::convert::Infallible;
use std::sync::Arc;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use module_cache_core::{HashedModule, StoreCache, Tiers};
use module_cache_fallback::FallbackExt;
use module_cache_loader::{
    ModuleLoader, TieredLoader, describe_metrics, record_cache_stats, record_loader_stats,
    record_tier_stats,
};
use module_cache_memory::SharedCache;
use module_cache_testkit::{FailingCache, ReferenceStore, TestEngine, wasm};

/// Does `work` under a recorder of its own, and returns what that renders then.
fn scraped(work: impl FnOnce()) -> String {
    let recorder: PrometheusRecorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, work);
    recorder.handle().render()
}

#[track_caller]
fn assert_lines(text: &str, expected: &[&str]) {
    for line in expected {
        assert!(
            text.lines().any(|has| has == *line),
            "no `{line}` in\n{text}"
        );
    }
}

fn module() -> HashedModule<'static> {
    HashedModule::new(wasm(1, 1000))
}

#[test]
fn loads_are_counted_by_source_and_timed() {
    let text = scraped(|| {
        let store = ReferenceStore::new();
        for _ in 0..2 {
            let memory = SharedCache::new();
            let cache = memory.with_fallback(StoreCache(store.clone()));
            let loader = ModuleLoader::new(TestEngine::new("metrics"), cache);
            for _ in 0..3 {
                loader.load(&module()).unwrap();
            }
            let name = ["first", "second"][usize::from(loader.stats().stored > 0)];
            record_loader_stats(name, &loader.stats());
        }
    });
    assert_lines(
        &text,
        &[
            "# TYPE module_cache_loads_total counter",
            r#"module_cache_loads_total{loader="first",source="compiled"} 1"#,
            r#"module_cache_loads_total{loader="first",source="resident"} 2"#,
            r#"module_cache_loads_total{loader="second",source="stored"} 1"#,
            r#"module_cache_loads_total{loader="second",source="resident"} 2"#,
            r#"module_cache_load_duration_seconds_count{source="compiled"} 1"#,
            r#"module_cache_load_duration_seconds_count{source="stored"} 1"#,
            "module_cache_compile_duration_seconds_count 1",
        ],
    );
    assert!(!text.contains(r#"load_duration_seconds_count{source="resident"}"#));
}

#[test]
fn failures_of_loads_and_of_the_cache_are_counted() {
    let text = scraped(|| {
        let loader = ModuleLoader::new(TestEngine::new("metrics"), FailingCache::new());
        loader.engine().fail_to_compile(true);
        loader.load(&module()).unwrap_err();
        record_loader_stats("plugins", &loader.stats());
    });
    assert_lines(
        &text,
        &[
            r#"module_cache_failed_loads_total{loader="plugins"} 1"#,
            // The look-up, and asking for a permit.
            r#"module_cache_cache_errors_total{loader="plugins"} 2"#,
        ],
    );
}

#[test]
fn waiting_for_another_load_is_counted() {
    let text = scraped(|| {
        let loader = ModuleLoader::new(TestEngine::new("metrics"), SharedCache::new());
        let held = loader.engine().hold_compiles();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| loader.load(&module()).unwrap());
            }
            while loader.stats().coalesced < 2 {
                std::thread::yield_now();
            }
            drop(held);
        });
        record_loader_stats("plugins", &loader.stats());
    });
    assert_lines(
        &text,
        &[
            r#"module_cache_coalesced_total{loader="plugins"} 2"#,
            r#"module_cache_loads_total{loader="plugins",source="compiled"} 1"#,
        ],
    );
}

#[test]
fn a_caches_own_counts_are_reported_under_its_name() {
    let text = scraped(|| {
        let memory = SharedCache::new();
        let loader = ModuleLoader::new(TestEngine::new("metrics"), memory.clone());
        for _ in 0..3 {
            loader.load(&module()).unwrap();
            // As often as there are scrapes.
            record_cache_stats("memory", &memory.stats());
        }
    });
    assert_lines(
        &text,
        &[
            r#"module_cache_hits_total{cache="memory"} 2"#,
            r#"module_cache_saves_total{cache="memory"} 1"#,
            r#"module_cache_evictions_total{cache="memory"} 0"#,
        ],
    );
}

#[test]
fn each_tier_is_counted_and_so_are_upgrades() {
    let text = scraped(|| {
        let tiers = Tiers::pair(TestEngine::new("fast"), TestEngine::new("best")).unwrap();
        let loader = TieredLoader::new(tiers, SharedCache::new());
        let module = Arc::new(module());
        let keep = |_, _: &TestEngine, module| Ok::<_, Infallible>(module);
        let handle = loader.load(&module, keep).unwrap().module;
        handle.wait_upgraded().unwrap();
        record_tier_stats("plugins", &loader.stats());
    });
    assert_lines(
        &text,
        &[
            "module_cache_loads_total{loader=\"plugins-fast\",source=\"compiled\"} 1",
            "module_cache_loads_total{loader=\"plugins-best\",source=\"compiled\"} 1",
            "module_cache_upgrades_total{loader=\"plugins\"} 1",
            "module_cache_failed_upgrades_total{loader=\"plugins\"} 0",
            "module_cache_pending_upgrades{loader=\"plugins\"} 0",
        ],
    );
}

#[test]
fn every_metric_is_described() {
    let text = scraped(|| {
        describe_metrics();
        let cache = FailingCache::new();
        let loader = ModuleLoader::new(TestEngine::new("metrics"), cache);
        loader.load(&module()).unwrap();
        loader.load(&module()).unwrap();
        record_loader_stats("plugins", &loader.stats());
        record_cache_stats("any", &SharedCache::<TestEngine>::new().stats());
        let tiers = Tiers::pair(TestEngine::new("fast"), TestEngine::new("best")).unwrap();
        let loader = TieredLoader::new(tiers, SharedCache::new());
        record_tier_stats("tiers", &loader.stats());
    });
    let named = |prefix: &str| {
        let mut names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix(prefix)?.split(' ').next())
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(named("# HELP "), named("# TYPE "), "\n{text}");
}
