//! Processes that die while they write.

#[path = "support/child.rs"]
mod child;
#[path = "support/role.rs"]
mod role;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::permit::CompilePermit;
use module_cache_core::{Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash};
use module_cache_filesystem::{FileSystemCache, Verification};
use module_cache_testkit::{TestEngine, wasm};

const KEYS: u64 = 4;
const KILLS: u32 = 200;
/// Where starting a process takes long, as under emulation, these are enough after so long.
const FEWEST: u32 = 30;
const LONG: Duration = Duration::from_secs(60);

fn module(n: u64) -> Vec<u8> {
    wasm(n, 100_000)
}

/// Writes, removes and locks without end, until it is killed.
fn write_for_ever(root: &str) -> ! {
    let cache = FileSystemCache::open(root).unwrap();
    let engine = TestEngine::new("crash");
    let modules: Vec<_> = (0..KEYS)
        .map(|n| engine.compile(&module(n)).unwrap())
        .collect();
    loop {
        for module in &modules {
            let key = ModuleHash::of(module.wasm());
            let permit = ModuleCache::compile_permit(&cache, key, &engine).unwrap();
            let _ = cache.save(key, &engine, module);
            drop(permit);
            let _ = ModuleCache::remove(&cache, key, &engine);
        }
    }
}

#[test]
fn killed_writers_leave_no_bad_entry_and_block_no_key() {
    if let Some(root) = role::role() {
        write_for_ever(&root);
    }
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("cache");
    let open = || {
        FileSystemCache::builder(&root)
            .verification(Verification::Always)
            .open()
            .unwrap()
    };
    open();
    let engine = TestEngine::new("crash");
    let done = AtomicBool::new(false);
    let hits = AtomicU64::new(0);

    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let cache = open();
                while !done.load(Ordering::Relaxed) {
                    for n in 0..KEYS {
                        let wasm = module(n);
                        // The engine panics if it is handed a damaged byte.
                        let found = cache.load(ModuleHash::of(&wasm), &engine).unwrap();
                        if let Some(found) = found {
                            assert_eq!(found.wasm(), wasm);
                            hits.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                assert_eq!(cache.stats().corrupt, 0);
            });
        }
        let writer = || {
            let name = "killed_writers_leave_no_bad_entry_and_block_no_key";
            child::again(name, root.to_str().unwrap()).spawn().unwrap()
        };
        let began = Instant::now();
        let mut first = writer();
        while hits.load(Ordering::Relaxed) == 0 {
            assert!(first.try_wait().unwrap().is_none(), "the writer writes");
            thread::sleep(Duration::from_millis(1));
        }
        // What this machine takes from the start of a writer to its first entry.
        let start = began.elapsed();
        child::kill(&mut first);
        for round in (0..KILLS).take_while(|round| *round < FEWEST || began.elapsed() < LONG) {
            let mut writer = writer();
            // From before its first write to the middle of a later one, spread evenly.
            thread::sleep(start / 4 + start * (round * 7919 % 90) / 60);
            child::kill(&mut writer);
        }
        done.store(true, Ordering::Relaxed);
    });

    let cache = open();
    for n in 0..KEYS {
        let wasm = module(n);
        let key = EntryKey::new(ModuleHash::of(&wasm), *engine.id());
        let asked = Instant::now();
        let permit = cache.permit(&key).unwrap();
        assert!(matches!(permit, CompilePermit::Exclusive(_)));
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "a dead holder blocked the key"
        );
        let _ = cache
            .save(key.hash(), &engine, &engine.compile(&wasm).unwrap())
            .unwrap();
        assert!(cache.load(key.hash(), &engine).unwrap().is_some());
    }
}
