//! What loaders that share slots and permits leave to each other.

use std::num::NonZeroUsize;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::{HashedModule, StoreCache};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::{ModuleLoader, Source};
use module_cache_memory::SharedCache;
use module_cache_testkit::{ReferenceStore, TestEngine, wasm};

fn module(n: u64) -> HashedModule<'static> {
    HashedModule::new(wasm(n, 1000))
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[test]
fn a_slot_goes_to_whoever_waits_longest_and_not_to_whoever_frees_it() {
    let engine = TestEngine::new("sharing");
    let loader = ModuleLoader::new(engine, SharedCache::new()).with_max_compiles(one());
    let held = loader.engine().hold_compiles();
    let is_served = AtomicBool::new(false);
    thread::scope(|scope| {
        let busy = scope.spawn(|| {
            loader.load(&module(0)).unwrap();
            loader.load(&module(1)).unwrap();
            is_served.load(Ordering::SeqCst)
        });
        held.wait_for(1);
        scope.spawn(|| {
            loader.load(&module(2)).unwrap();
            is_served.store(true, Ordering::SeqCst);
        });
        thread::sleep(Duration::from_millis(100));
        loader.engine().set_compile_time(Duration::from_millis(200));
        drop(held);
        assert!(
            busy.join().unwrap(),
            "the busy thread took the slot again before the one that waited"
        );
    });
}

#[test]
fn no_permit_is_held_for_a_module_that_waits_for_a_slot() {
    let store = ReferenceStore::new();
    let open = || {
        let engine = TestEngine::new("sharing");
        ModuleLoader::new(engine, StoreCache(store.clone())).with_max_compiles(one())
    };
    let (slow, idle) = (open(), open());
    let held = slow.engine().hold_compiles();
    thread::scope(|scope| {
        for n in 0..8 {
            let slow = &slow;
            scope.spawn(move || slow.load(&module(n)).unwrap());
        }
        held.wait_for(1);
        thread::sleep(Duration::from_millis(100));
        // All but the one that the other compiles.
        let compiled = AtomicBool::new(false);
        thread::scope(|scope| {
            let others: Vec<_> = (0..8)
                .map(|n| {
                    let idle = &idle;
                    scope.spawn(move || idle.load(&module(n)).unwrap())
                })
                .collect();
            let begun = Instant::now();
            while idle.stats().compiled < 7 && begun.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(1));
            }
            compiled.store(idle.stats().compiled == 7, Ordering::SeqCst);
            drop(held);
            drop(others);
        });
        assert!(
            compiled.into_inner(),
            "the idle one compiled {} of 7",
            idle.stats().compiled
        );
    });
    assert_eq!(slow.engine().compiles() + idle.engine().compiles(), 8);
}

#[test]
fn the_wasm_is_not_fetched_while_somebody_else_compiles_it() {
    let store = ReferenceStore::new();
    let open = || ModuleLoader::new(TestEngine::new("sharing"), StoreCache(store.clone()));
    let (first, second) = (open(), open());
    let held = first.engine().hold_compiles();
    thread::scope(|scope| {
        scope.spawn(|| first.load(&module(0)).unwrap());
        held.wait_for(1);
        let waiting = scope.spawn(|| {
            let fetch = || -> Result<Vec<u8>, std::io::Error> { panic!("it was fetched") };
            second.load_with(module(0).hash(), fetch)
        });
        thread::sleep(Duration::from_millis(100));
        drop(held);
        assert_eq!(waiting.join().unwrap().unwrap().source, Source::Stored);
    });
}

#[test]
fn a_fetch_that_hangs_keeps_nobody_from_compiling_other_modules_or_the_same_elsewhere() {
    let store = ReferenceStore::new();
    let open = || {
        let engine = TestEngine::new("sharing");
        ModuleLoader::new(engine, StoreCache(store.clone())).with_max_compiles(one())
    };
    let (hanging, other) = (open(), open());
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let (begun, has_begun) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let hanging = &hanging;
        scope.spawn(move || {
            let fetch = || {
                begun.send(()).unwrap();
                let _ = hold.recv();
                Ok::<_, std::io::Error>(wasm(0, 1000))
            };
            hanging.load_with(module(0).hash(), fetch).unwrap();
        });
        has_begun.recv().unwrap();
        assert_eq!(hanging.load(&module(1)).unwrap().source, Source::Compiled);
        assert_eq!(other.load(&module(0)).unwrap().source, Source::Compiled);
        drop(release);
    });
    assert_eq!(hanging.engine().compiles(), 1);
}

const FOLDER: &str = "MODULE_CACHE_TEST_FOLDER";
const MODULES: u64 = 12;

/// One process with one slot that wants all modules at once. Each takes 100 ms to compile.
fn want_all(folder: &str) {
    let engine = TestEngine::new("sharing");
    engine.set_compile_time(Duration::from_millis(100));
    let cache = FileSystemCache::open(folder).unwrap();
    let loader = ModuleLoader::new(engine, cache).with_max_compiles(one());
    let begun = Instant::now();
    thread::scope(|scope| {
        for n in 0..MODULES {
            let loader = &loader;
            scope.spawn(move || loader.load(&module(n)).unwrap());
        }
    });
    println!("took {:?}", begun.elapsed());
    println!("compiled {}", loader.engine().compiles());
}

/// How many modules each of so many processes compiled that began together.
fn compiled_by(processes: usize) -> Vec<u64> {
    let folder = tempfile::tempdir().unwrap();
    let name = "three_processes_share_the_work_of_twelve_modules";
    let children: Vec<_> = (0..processes)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture"])
                .env(FOLDER, folder.path().join("modules"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let compiled = children.into_iter().map(|child| {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}");
        print!("{processes} processes: {text}");
        let count = text.lines().find_map(|line| line.strip_prefix("compiled "));
        count.unwrap().parse().unwrap()
    });
    compiled.collect()
}

/// As each compiles about a third, three take about a third of the time of one.
#[test]
fn three_processes_share_the_work_of_twelve_modules() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return want_all(folder.to_str().unwrap());
    }
    assert_eq!(compiled_by(1), [MODULES]);
    let compiled = compiled_by(3);
    assert_eq!(compiled.iter().sum::<u64>(), MODULES, "{compiled:?}");
    assert!(
        compiled.iter().all(|count| (2..=6).contains(count)),
        "{compiled:?}"
    );
}
