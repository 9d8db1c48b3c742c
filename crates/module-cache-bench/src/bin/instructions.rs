//! `instructions PATH`: one path of the caches, for callgrind to count. `cargo xtask instructions` has it
//! count only what is done inside of [`measured`].
//!
//! No engine, one thread, and modules of a kilobyte: so it is little that differs between machines.

use std::convert::Infallible;
use std::env;
use std::hint::black_box;

use module_cache_bench::bare_engine::BareEngine;
use module_cache_bench::disk;
use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::ModuleLoader;
use module_cache_memory::SharedCache;
use module_cache_testkit::{TestEngine, wasm};

/// How often a path is taken. `cargo xtask instructions` divides by it.
const TIMES: u64 = 100;

fn main() {
    let path = env::args().nth(1).expect("no path was named");
    match path.as_str() {
        "loader-hit" => loader_hit(),
        "memory-hit" => memory(0),
        "memory-miss" => memory(TIMES),
        "disk-hit" => disk_hit(),
        "disk-miss" => disk_miss(),
        "save" => save(),
        _ => panic!("there is no path {path:?}"),
    }
}

/// The name that callgrind looks for.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

fn memory(first: u64) {
    let (engine, cache) = (BareEngine::new(), SharedCache::new());
    let key = |n: u64| ModuleHash::of(&n.to_le_bytes());
    for n in 0..TIMES {
        let saved = cache.save(key(n), &engine, &n.into());
        assert!(saved.unwrap().is_stored());
    }
    let keys: Vec<_> = (first..first + TIMES).map(key).collect();
    black_box(cache.load(keys[0], &engine).unwrap());
    measured(&mut || {
        for key in &keys {
            black_box(cache.load(*key, &engine).unwrap());
        }
    });
}

fn loader_hit() {
    let loader = ModuleLoader::new(BareEngine::new(), SharedCache::new());
    let key = |n: u64| ModuleHash::of(&n.to_le_bytes());
    let load = |n: u64| {
        let wasm = || Ok::<_, Infallible>(n.to_le_bytes());
        loader.load_with(key(n), wasm).unwrap()
    };
    for n in 0..TIMES {
        load(n);
    }
    let keys: Vec<_> = (0..TIMES).map(key).collect();
    measured(&mut || {
        for key in &keys {
            let wasm = || Ok::<&[u8], Infallible>(&[]);
            black_box(loader.load_with(*key, wasm).unwrap());
        }
    });
    assert_eq!(loader.stats().resident, TIMES);
}

/// Not verified on each load: the folder knows what it saved. It finds out with its first saves that times of change tell all
/// changes apart, if these do not take too long, as the very first one does here.
fn disk_hit() {
    let (engine, keep) = (TestEngine::new("instructions"), disk::scratch_folder());
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let keys: Vec<_> = (0..10)
        .map(|n| {
            let wasm = wasm(n, 1000);
            let key = ModuleHash::of(&wasm);
            let saved = cache.save(key, &engine, &engine.compile(&wasm).unwrap());
            assert!(saved.unwrap().is_stored());
            key
        })
        .collect();
    let key = keys[9];
    assert!(cache.load(key, &engine).unwrap().is_some());
    measured(&mut || {
        for _ in 0..TIMES {
            black_box(cache.load(key, &engine).unwrap());
        }
    });
}

fn disk_miss() {
    let (engine, keep) = (TestEngine::new("instructions"), disk::scratch_folder());
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let key = ModuleHash::of(&wasm(0, 1000));
    assert!(cache.load(key, &engine).unwrap().is_none());
    measured(&mut || {
        for _ in 0..TIMES {
            black_box(cache.load(key, &engine).unwrap());
        }
    });
}

fn save() {
    let (engine, keep) = (TestEngine::new("instructions"), disk::scratch_folder());
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let modules: Vec<_> = (0..=TIMES)
        .map(|n| {
            let wasm = wasm(n, 1000);
            (ModuleHash::of(&wasm), engine.compile(&wasm).unwrap())
        })
        .collect();
    let ((first, module), rest) = modules.split_first().expect("there are more than one");
    // The first one makes the folder of its engine.
    assert!(cache.save(*first, &engine, module).unwrap().is_stored());
    measured(&mut || {
        for (key, module) in rest {
            assert!(cache.save(*key, &engine, module).unwrap().is_stored());
        }
    });
}
