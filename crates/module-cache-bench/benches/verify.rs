//! How fast a folder is verified, beside hashing the same files as `b3sum` does: mapped, on all cores.
//!
//! `cargo bench -p module-cache-bench --bench verify`

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::{TestEngine, wasm};

/// Sizes of real artifacts: sqlite, resvg and esbuild compiled by wasmtime, and many small ones.
const SIZES: [usize; 3] = [3_000_000, 5_500_000, 31_600_000];
const SMALL: u64 = 500;

fn verify(criterion: &mut Criterion) {
    let keep = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let engine = TestEngine::new("verify");
    let sizes = SIZES.into_iter().chain((0..SMALL).map(|_| 40_000));
    for (n, size) in (0..).zip(sizes) {
        let wasm = wasm(n, size);
        let module = engine.compile(&wasm).unwrap();
        assert!(
            cache
                .save(ModuleHash::of(&wasm), &engine, &module)
                .unwrap()
                .is_stored()
        );
    }
    let folder = cache.root().join(format!("v1/{}", engine.id()));
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let bytes = files
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();

    let mut group = criterion.benchmark_group("verify");
    group.throughput(Throughput::Bytes(bytes));
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(5));
    group.bench_function("folder", |bencher| {
        bencher.iter(|| {
            let report = cache.verify(false, &|_| ()).unwrap();
            assert!(report.faults.is_empty());
        });
    });
    group.bench_function("b3sum-like", |bencher| {
        bencher.iter(|| {
            for path in &files {
                let mut hasher = blake3::Hasher::new();
                hasher.update_mmap_rayon(path).unwrap();
                std::hint::black_box(hasher.finalize());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, verify);
criterion_main!(benches);
