//! Storing a wasmtime module, beside writing its artifact to a file: with sync, which is what this project
//! does, and without, which is what its peers do.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::compiled::{self, Compiled};
use module_cache_bench::disk;
use module_cache_core::ModuleCache;
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmtime::WasmtimeEngine;

fn save(criterion: &mut Criterion) {
    let engine = compiled::engine();
    for module in compiled::modules(&engine) {
        compare(criterion, &engine, &module);
    }
}

fn compare(criterion: &mut Criterion, engine: &WasmtimeEngine, module: &Compiled) {
    let folder = disk::scratch_folder();
    let file = folder.path().join("artifact");
    let cache = FileSystemCache::open(folder.path().join("module-cache")).unwrap();
    let cacache = folder.path().join("cacache");
    let store = || {
        let saved = cache.save(module.hash, engine, &module.module);
        assert!(saved.unwrap().is_stored());
    };
    let forget = || {
        assert!(ModuleCache::remove(&cache, module.hash, engine).unwrap());
    };
    Comparison::new(format!("save: {}", module.name))
        .called_then(
            "baseline: serialize, write, sync",
            || write(module, &file).sync_all().unwrap(),
            |()| remove(&file),
        )
        .called_then("module-cache", store, |()| forget())
        .called_then(
            "serialize, write, no sync",
            || drop(write(module, &file)),
            |()| remove(&file),
        )
        .called_then(
            "serialize, cacache, no sync",
            || {
                let bytes = module.module.serialize().unwrap();
                cacache::write_sync(&cacache, module.hash.to_string(), bytes).unwrap();
            },
            |()| fs::remove_dir_all(&cacache).unwrap(),
        )
        .run(criterion);
}

fn write(module: &Compiled, path: &Path) -> File {
    let mut file = File::create_new(path).unwrap();
    file.write_all(&module.module.serialize().unwrap()).unwrap();
    file
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = save
}
criterion_main!(benches);
