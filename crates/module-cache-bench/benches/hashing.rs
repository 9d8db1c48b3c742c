//! Hashing wasm: what stands in front of every lookup of a module that was not hashed before.

use std::fs;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::{disk, effort};
use module_cache_core::{HashedModule, ModuleHash};
use module_cache_testkit::wasm;

fn hashing(criterion: &mut Criterion) {
    let folder = disk::scratch_folder();
    let path = folder.path().join("module.wasm");
    let sizes = effort::choose(
        &[("1 KB", 1_000), ("16 MB", 16_000_000)][..],
        &[
            ("1 KB", 1_000),
            ("64 KB", 64_000),
            ("1 MB", 1_000_000),
            ("16 MB", 16_000_000),
        ],
    );
    for (size, bytes) in sizes {
        let wasm = wasm(1, *bytes);
        fs::write(&path, &wasm).unwrap();
        Comparison::new(format!("hashing: {size} in memory"))
            .called("baseline: blake3 on all cores", || {
                *blake3::Hasher::new()
                    .update_rayon(&wasm)
                    .finalize()
                    .as_bytes()
            })
            .called("module-cache HashedModule", || {
                HashedModule::new(wasm.as_slice()).hash()
            })
            .called("blake3 on one core", || blake3::hash(&wasm))
            .run(criterion);
        Comparison::new(format!("hashing: {size} in a file"))
            .called("baseline: blake3 on all cores, mapped", || {
                let mut hasher = blake3::Hasher::new();
                hasher.update_mmap_rayon(&path).unwrap();
                hasher.finalize()
            })
            .called("module-cache of_file", || {
                ModuleHash::of_file(&path).unwrap()
            })
            .called("read, then blake3 on one core", || {
                blake3::hash(&fs::read(&path).unwrap())
            })
            .run(criterion);
    }
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = hashing
}
criterion_main!(benches);
