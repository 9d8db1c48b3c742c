//! wasmer modules, beside the caches of wasmer-wasix and of wasmer, each called through its own trait.

use std::fs;
use std::hash::RandomState;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_executor::block_on;
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::live_map::{Cached, Contender, LiveMap};
use module_cache_bench::memory_hit::{self, Pattern};
use module_cache_bench::{corpus, disk, effort, thread_local_map};
use module_cache_core::{HashedModule, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::ModuleLoader;
use module_cache_memory::SharedCache;
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::Cranelift;
use wasmer::{Engine, Module};
use wasmer_cache::Cache as _;
use wasmer_wasix::runtime::module_cache::{self as wasix, ModuleCache as _};
use wasmer_wasix::runtime::task_manager::tokio::TokioTaskManager;

thread_local_map!(
    /// As everybody writes it.
    ThreadLocalMap,
    Module,
    RandomState
);

fn memory_hit(criterion: &mut Criterion) {
    let engine = engine();
    let module = Module::new(engine.engine(), b"\0asm\x01\0\0\0").unwrap();
    for threads in [1, 2] {
        for pattern in [Pattern::Uniform, Pattern::Hot] {
            let contenders: [Contender<Module>; 3] = [
                ("baseline: thread-local HashMap", Arc::new(ThreadLocalMap)),
                (
                    "module-cache SharedCache",
                    Arc::new(Cached(engine.clone(), SharedCache::new())),
                ),
                (
                    "wasmer-wasix SharedCache",
                    Arc::new(Wasix(engine.engine().clone(), wasix::SharedCache::new())),
                ),
            ];
            memory_hit::compare(
                criterion,
                "memory hit of wasmer modules",
                (threads, 1_024, pattern),
                &contenders,
                |_| module.clone(),
            );
        }
    }
}

/// A cache of wasmer-wasix, with its engine.
struct Wasix(Engine, wasix::SharedCache);

impl LiveMap for Wasix {
    type Module = Module;

    fn save(&self, hash: ModuleHash, module: &Module) {
        block_on(self.1.save(wasix_key(hash), &self.0, module)).unwrap();
    }

    fn load(&self, key: &ModuleHash) -> Option<Module> {
        block_on(self.1.load(wasix_key(*key), &self.0)).ok()
    }
}

fn disk(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tasks = Arc::new(TokioTaskManager::new(runtime.handle().clone()));
    for name in effort::choose(&["esbuild"][..], &["sqlite", "resvg", "esbuild"]) {
        let folder = disk::scratch_folder();
        let caches = Caches {
            artifact: &folder.path().join("artifact"),
            ours: FileSystemCache::open(folder.path().join("module-cache")).unwrap(),
            wasix: wasix::FileSystemCache::new(folder.path().join("wasix"), tasks.clone()),
            wasmer: wasmer_cache::FileSystemCache::new(folder.path().join("wasmer")).unwrap(),
        };
        let (engine, key, module) = compile(name);
        save(criterion, name, &caches, (&engine, key, &module));
        hit(criterion, name, &caches, key);
    }
}

struct Caches<'a> {
    artifact: &'a Path,
    ours: FileSystemCache,
    wasix: wasix::FileSystemCache,
    wasmer: wasmer_cache::FileSystemCache,
}

/// In the end all have it, for the hits.
fn save(
    criterion: &mut Criterion,
    name: &str,
    caches: &Caches<'_>,
    (engine, key, module): (&WasmerEngine, ModuleHash, &Module),
) {
    let store = || {
        let saved = caches.ours.save(key, engine, module);
        assert!(saved.unwrap().is_stored());
    };
    // The others write again what they have.
    let forget = || assert!(ModuleCache::remove(&caches.ours, key, engine).unwrap());
    Comparison::new(format!("save of wasmer modules: {name}"))
        .called("baseline: serialize, write, sync", || {
            fs::write(caches.artifact, module.serialize().unwrap()).unwrap();
            fs::File::open(caches.artifact).unwrap().sync_all().unwrap();
        })
        .called_then("module-cache", store, |()| forget())
        .called("wasmer-wasix FileSystemCache, no sync", || {
            block_on(caches.wasix.save(wasix_key(key), engine.engine(), module)).unwrap();
        })
        .called("wasmer-cache FileSystemCache, no sync", || {
            let mut cache = caches.wasmer.clone();
            cache.store(wasmer_key(key), module).unwrap();
        })
        .run(criterion);
    store();
}

fn hit(criterion: &mut Criterion, name: &str, caches: &Caches<'_>, hash: ModuleHash) {
    // What was changed within the last two seconds is not remembered as verified; then once to verify.
    thread::sleep(Duration::from_millis(2100));
    let load = |engine: &WasmerEngine| caches.ours.load(hash, engine).unwrap().unwrap();
    load(&engine());
    Comparison::new(format!("disk hit of wasmer modules: {name}"))
        .measured("baseline: deserialize_from_file_unchecked", |count| {
            each(count, |engine| {
                // SAFETY: the file is what `serialize` of such an engine returned, and nobody changes it.
                unsafe { Module::deserialize_from_file_unchecked(engine.engine(), caches.artifact) }
                    .unwrap()
            })
        })
        .measured("module-cache, verified before", |count| each(count, load))
        .measured("wasmer-wasix FileSystemCache", |count| {
            each(count, |engine| {
                block_on(caches.wasix.load(wasix_key(hash), engine.engine())).unwrap()
            })
        })
        .measured("wasmer-cache FileSystemCache", |count| {
            each(count, |engine| {
                // SAFETY: as above; this program alone writes to the folder.
                unsafe { caches.wasmer.load(engine.engine(), wasmer_key(hash)) }.unwrap()
            })
        })
        .run(criterion);
}

/// Times a load into an engine, which keeps the code of every module for as long as it lives: so each gets
/// a new one.
fn each(count: u64, load: impl Fn(&WasmerEngine) -> Module) -> Duration {
    (0..count)
        .map(|_| {
            let engine = engine();
            let began = Instant::now();
            let module = load(&engine);
            let took = began.elapsed();
            drop(module);
            took
        })
        .sum()
}

fn engine() -> WasmerEngine {
    WasmerEngine::without_middleware(&Engine::from(Cranelift::default())).unwrap()
}

/// Compiles it, or takes it from the last run.
fn compile(name: &str) -> (WasmerEngine, ModuleHash, Module) {
    let engine = engine();
    let cache = FileSystemCache::open(disk::kept_folder("compiled")).unwrap();
    let loader = ModuleLoader::new(engine.clone(), cache);
    let wasm = HashedModule::new(corpus::wasm(name));
    let module = loader.load(&wasm).unwrap().module;
    (engine, wasm.hash(), module)
}

fn wasix_key(hash: ModuleHash) -> wasmer_types::ModuleHash {
    wasmer_types::ModuleHash::from_bytes(*hash.as_bytes())
}

fn wasmer_key(hash: ModuleHash) -> wasmer_cache::Hash {
    wasmer_cache::Hash::new(*hash.as_bytes())
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = memory_hit, disk
}
criterion_main!(benches);
