//! The cap holds at every moment, with sixteen processes that save, load and remove, and with one of them
//! killed every tenth of a second.

#[path = "support/child.rs"]
mod child;
#[path = "support/role.rs"]
mod role;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use fs4::FileExt;
use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::{TestEngine, wasm};

const PROCESSES: usize = 16;
const TIME: Duration = Duration::from_secs(60);
const CAP: u64 = 3 << 20;
const KEYS: u64 = 150;

fn open(root: &str) -> FileSystemCache {
    FileSystemCache::builder(root).max_size(CAP).open().unwrap()
}

fn module(n: u64) -> Vec<u8> {
    // From one block to sixteen.
    wasm(n, 1000 + usize::try_from(n * 7919 % 60_000).unwrap())
}

/// Saves, loads and removes at random. Every load must give what was saved: the engine panics if it is
/// handed anything else, and the parent sees that this process failed.
fn work(root: &str) {
    let cache = open(root);
    let engine = TestEngine::new("cap");
    let mut random = u64::from(std::process::id());
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let wasm = module(random % KEYS);
        let key = ModuleHash::of(&wasm);
        match random >> 32 & 7 {
            0 => drop(ModuleCache::remove(&cache, key, &engine).unwrap()),
            1..=3 => {
                if let Some(found) = cache.load(key, &engine).unwrap() {
                    assert_eq!(found.wasm(), wasm);
                }
            }
            _ => {
                let module = engine.compile(&wasm).unwrap();
                let _ = cache.save(key, &engine, &module).unwrap();
            }
        }
    }
    assert_eq!(cache.stats().corrupt, 0);
}

/// What the entries take at one moment, seen while nobody can publish.
fn published(root: &Path) -> u64 {
    let ledger = File::open(root.join("v1/ledger")).unwrap();
    FileExt::lock(&ledger).unwrap();
    let mut bytes = 0;
    for engine in fs::read_dir(root.join("v1")).unwrap() {
        let engine = engine.unwrap();
        let name = engine.file_name();
        // What is being written, too. A writer may give it up at any time, but no other begins under the lock.
        if name.to_string_lossy().starts_with("cap-") || name == "tmp" {
            for entry in fs::read_dir(engine.path()).unwrap() {
                let len = entry.unwrap().metadata().map_or(0, |file| file.len());
                bytes += len.next_multiple_of(4096);
            }
        }
    }
    FileExt::unlock(&ledger).unwrap();
    bytes
}

fn ledger_total(root: &Path) -> u64 {
    let mut total = [0; 8];
    let mut ledger = File::open(root.join("v1/ledger")).unwrap();
    ledger.seek(SeekFrom::Start(16)).unwrap();
    ledger.read_exact(&mut total).unwrap();
    u64::from_le_bytes(total)
}

fn run(name: &str, kill_every: Option<Duration>) {
    if let Some(root) = role::role() {
        return work(&root);
    }
    let keep = tempfile::tempdir().unwrap();
    let root = keep.path().join("cache");
    open(root.to_str().unwrap());
    let start = || child::again(name, root.to_str().unwrap()).spawn().unwrap();
    let mut children: Vec<Child> = (0..PROCESSES).map(|_| start()).collect();

    let began = Instant::now();
    let mut killed = Instant::now();
    let (mut samples, mut peak, mut kills) = (0_u64, 0, 0_usize);
    while began.elapsed() < TIME {
        let bytes = published(&root);
        assert!(bytes <= CAP, "{bytes} bytes published under a cap of {CAP}");
        peak = peak.max(bytes);
        samples += 1;
        if kill_every.is_some_and(|every| killed.elapsed() > every) {
            killed = Instant::now();
            child::kill(&mut children[kills % PROCESSES]);
            children[kills % PROCESSES] = start();
            kills += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    for child in &mut children {
        if kill_every.is_some() {
            child::kill(child);
        } else {
            assert!(child.wait().unwrap().success(), "a process failed");
        }
    }
    println!("{samples} samples, {kills} kills, at most {peak} of {CAP} bytes");
    assert!(samples > 500, "too few samples to mean anything: {samples}");
    assert!(
        peak > CAP / 10 * 8,
        "the cap was never near: {peak} of {CAP} bytes"
    );

    // Whoever saves next recovers what the dead left. From then on the ledger is exact.
    let cache = open(root.to_str().unwrap());
    let engine = TestEngine::new("cap");
    let last = engine.compile(&wasm(1_000_000, 1000)).unwrap();
    assert!(
        cache
            .save(ModuleHash::of(last.wasm()), &engine, &last)
            .unwrap()
            .is_stored()
    );
    assert_eq!(ledger_total(&root), cache.usage().unwrap().bytes);
}

#[test]
fn sixteen_processes_never_publish_more_than_the_cap() {
    run("sixteen_processes_never_publish_more_than_the_cap", None);
}

#[test]
fn with_one_killed_every_tenth_of_a_second_the_cap_holds_and_the_ledger_is_right() {
    let name = "with_one_killed_every_tenth_of_a_second_the_cap_holds_and_the_ledger_is_right";
    run(name, Some(Duration::from_millis(100)));
}
