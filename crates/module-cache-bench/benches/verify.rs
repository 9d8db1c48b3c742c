//! How fast a whole folder is verified, beside hashing the same files as `b3sum` does.

use std::fs;
use std::path::PathBuf;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::disk;
use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::{TestEngine, wasm};

/// Sizes of real artifacts: sqlite, resvg and esbuild compiled by wasmtime, and many small ones.
const SIZES: [usize; 3] = [3_000_000, 5_500_000, 31_600_000];
const SMALL: usize = 500;

fn verify(criterion: &mut Criterion) {
    let keep = disk::scratch_folder();
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let engine = TestEngine::new("verify");
    let sizes = SIZES.into_iter().chain([40_000; SMALL]);
    for (n, size) in (0..).zip(sizes) {
        let wasm = wasm(n, size);
        let module = engine.compile(&wasm).unwrap();
        let saved = cache.save(ModuleHash::of(&wasm), &engine, &module);
        assert!(saved.unwrap().is_stored());
    }
    let folder = cache.root().join(format!("v1/{}", engine.id()));
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();

    Comparison::new(format!(
        "verify: a folder of {} entries, 60 MB",
        files.len()
    ))
    .called("baseline: blake3 on all cores, each file mapped", || {
        for path in &files {
            let mut hasher = blake3::Hasher::new();
            hasher.update_mmap_rayon(path).unwrap();
            std::hint::black_box(hasher.finalize());
        }
    })
    .called("module-cache verify", || {
        let report = cache.verify(false, &|_| ()).unwrap();
        assert!(report.faults.is_empty());
    })
    .run(criterion);
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = verify
}
criterion_main!(benches);
