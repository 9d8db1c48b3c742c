//! What a folder costs as it grows: opening it, a hit and a save must not depend on how many entries there
//! are; a prune is linear in them.
//!
//! `cargo bench -p module-cache-bench --bench growth`

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, wasm};

const ENTRIES: [u64; 3] = [10, 1_000, 100_000];

/// A folder with so many entries, of which the first is real and the others only look like it.
struct Folder {
    keep: tempfile::TempDir,
    engine: TestEngine,
    entries: u64,
}

impl Folder {
    fn new(entries: u64) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let folder = Self {
            keep,
            engine: TestEngine::new("growth"),
            entries,
        };
        assert!(folder.save(&folder.open(), 0));
        for n in 1..entries {
            folder.fill(n);
        }
        // The books are counted now, and not when the first save is measured.
        folder.open().prune(&PruneOptions::default()).unwrap();
        folder
    }

    fn open(&self) -> FileSystemCache {
        FileSystemCache::open(self.keep.path().join("cache")).unwrap()
    }

    fn save(&self, cache: &FileSystemCache, n: u64) -> bool {
        let wasm = wasm(n, 1000);
        let module = self.engine.compile(&wasm).unwrap();
        let saved = cache.save(ModuleHash::of(&wasm), &self.engine, &module);
        saved.unwrap().is_stored()
    }

    fn fill(&self, n: u64) {
        let engine = self
            .keep
            .path()
            .join(format!("cache/v1/{}", self.engine.id()));
        fs::write(engine.join(name(n)), [0; 300]).unwrap();
    }

    fn refill(&self, engine: &Path) {
        for n in 1..self.entries {
            if !engine.join(name(n)).exists() {
                self.fill(n);
            }
        }
    }
}

fn name(n: u64) -> String {
    ModuleHash::of(&n.to_le_bytes()).to_string()
}

fn growth(criterion: &mut Criterion) {
    for entries in ENTRIES {
        let folder = Folder::new(entries);
        let cache = folder.open();
        let key = ModuleHash::of(&wasm(0, 1000));
        let mut group = criterion.benchmark_group("growth");
        group
            .sample_size(20)
            .measurement_time(Duration::from_secs(3));

        group.bench_function(BenchmarkId::new("open", entries), |bencher| {
            bencher.iter(|| folder.open());
        });
        group.bench_function(BenchmarkId::new("hit", entries), |bencher| {
            bencher.iter(|| cache.load(key, &folder.engine).unwrap().unwrap());
        });
        let mut next = 1_000_000;
        group.bench_function(BenchmarkId::new("save", entries), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut time = Duration::ZERO;
                for _ in 0..iterations {
                    next += 1;
                    let began = Instant::now();
                    assert!(folder.save(&cache, next));
                    time += began.elapsed();
                    let key = ModuleHash::of(&wasm(next, 1000));
                    assert!(ModuleCache::remove(&cache, key, &folder.engine).unwrap());
                }
                time
            });
        });

        // A prune that removes all but one, per entry.
        group
            .throughput(Throughput::Elements(entries))
            .sample_size(10);
        let engine = folder
            .keep
            .path()
            .join(format!("cache/v1/{}", folder.engine.id()));
        let all_but_one = PruneOptions {
            max_size: Some(4096),
            ..PruneOptions::default()
        };
        group.bench_function(BenchmarkId::new("prune", entries), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut time = Duration::ZERO;
                for _ in 0..iterations {
                    folder.refill(&engine);
                    let began = Instant::now();
                    cache.prune(&all_but_one).unwrap();
                    time += began.elapsed();
                }
                time
            });
        });
        group.finish();
    }
}

criterion_group!(benches, growth);
criterion_main!(benches);
