//! A wasmtime module from disk, beside wasmtime's own load of the same bytes, its own cache, and cacache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::compiled::{self, Compiled};
use module_cache_bench::disk;
use module_cache_core::ModuleCache;
use module_cache_filesystem::{FileSystemCache, Verification};
use module_cache_wasmtime::WasmtimeEngine;
use tempfile::TempDir;
use wasmtime::{Cache, CacheConfig, Engine, Module};

fn disk_hit(criterion: &mut Criterion) {
    let engine = compiled::engine();
    let modules = compiled::modules(&engine);
    let folder = Folder::new(&engine, &modules);
    let cached = engine_with_cache();
    // What was changed within the last two seconds is not remembered as verified.
    thread::sleep(Duration::from_millis(2100));
    for module in &modules {
        verified_before(criterion, &engine, &folder, &cached, module);
        first_this_boot(criterion, &engine, &folder, module);
    }
}

fn verified_before(
    criterion: &mut Criterion,
    engine: &WasmtimeEngine,
    folder: &Folder,
    (cached, cache): &(Engine, Cache),
    module: &Compiled,
) {
    let file = folder.artifact(module);
    let verified = folder.open(Verification::OncePerMount);
    // SAFETY: the folder is this program's own, new, and nobody else writes to it.
    let never = unsafe { FileSystemCache::builder(folder.cache()).never_verify() };
    let never = never.open().unwrap();
    let load = |cache: &FileSystemCache| cache.load(module.hash, engine).unwrap().unwrap();
    // This one verifies.
    load(&verified);
    Module::new(cached, &module.wasm).unwrap();
    let misses = cache.cache_misses();

    Comparison::new(format!("disk hit, verified before: {}", module.name))
        .called("baseline: deserialize_open_file", || {
            raw_load(engine, &file)
        })
        .called("module-cache, verified before", || load(&verified))
        .called("module-cache, never verified", || load(&never))
        .called("read, then deserialize", || {
            copied_load(engine, &fs::read(&file).unwrap())
        })
        .called("cacache, then deserialize", || {
            let bytes = cacache::read_sync(folder.cacache(), module.hash.to_string());
            copied_load(engine, &bytes.unwrap())
        })
        .called("wasmtime's Cache", || {
            Module::new(cached, &module.wasm).unwrap()
        })
        .run(criterion);
    assert_eq!(
        cache.cache_misses(),
        misses,
        "wasmtime's cache compiled again"
    );
}

/// With `Verification::Always`, which does on each load what is done once after a start of the machine.
fn first_this_boot(
    criterion: &mut Criterion,
    engine: &WasmtimeEngine,
    folder: &Folder,
    module: &Compiled,
) {
    let file = folder.artifact(module);
    let always = folder.open(Verification::Always);
    Comparison::new(format!("disk hit, first this boot: {}", module.name))
        .called(
            "baseline: blake3 on all cores, then deserialize_open_file",
            || {
                let mut hasher = blake3::Hasher::new();
                hasher.update_mmap_rayon(&file).unwrap();
                (hasher.finalize(), raw_load(engine, &file))
            },
        )
        .called("module-cache", || {
            always.load(module.hash, engine).unwrap().unwrap()
        })
        .run(criterion);
}

fn raw_load(engine: &WasmtimeEngine, path: &Path) -> Module {
    // SAFETY: the file is what `serialize` of this engine returned, and nobody changes it.
    unsafe { Module::deserialize_open_file(engine.engine(), File::open(path).unwrap()) }.unwrap()
}

fn copied_load(engine: &WasmtimeEngine, artifact: &[u8]) -> Module {
    // SAFETY: these are the bytes that `serialize` of this engine returned.
    unsafe { Module::deserialize(engine.engine(), artifact) }.unwrap()
}

/// wasmtime with its own cache, which keeps what it compiled in the last run.
fn engine_with_cache() -> (Engine, Cache) {
    let mut options = CacheConfig::new();
    options.with_directory(disk::kept_folder("wasmtime-cache"));
    // What is used often it would compress again, on a thread of its own, while others are measured.
    options.with_optimized_compression_usage_counter_threshold(u64::MAX);
    let cache = Cache::new(options).unwrap();
    let mut config = compiled::config();
    config.cache(Some(cache.clone()));
    (Engine::new(&config).unwrap(), cache)
}

/// All modules as each contender keeps them.
struct Folder(TempDir);

impl Folder {
    fn new(engine: &WasmtimeEngine, modules: &[Compiled]) -> Self {
        let folder = Self(disk::scratch_folder());
        let cache = folder.open(Verification::OncePerMount);
        for module in modules {
            fs::write(folder.artifact(module), &module.artifact).unwrap();
            let saved = cache.save(module.hash, engine, &module.module);
            assert!(saved.unwrap().is_stored());
            let key = module.hash.to_string();
            cacache::write_sync(folder.cacache(), key, &module.artifact).unwrap();
        }
        folder
    }

    fn artifact(&self, module: &Compiled) -> PathBuf {
        self.0.path().join(module.hash.to_string())
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("module-cache")
    }

    fn cacache(&self) -> PathBuf {
        self.0.path().join("cacache")
    }

    fn open(&self, verification: Verification) -> FileSystemCache {
        let builder = FileSystemCache::builder(self.cache());
        builder.verification(verification).open().unwrap()
    }
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = disk_hit
}
criterion_main!(benches);
