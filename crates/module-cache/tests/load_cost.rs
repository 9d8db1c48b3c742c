//! What a load from disk costs in system calls and memory, beside the engine's own load of the same file.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/role.rs"]
mod role;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use module_cache::{
    FileSystemCache, ModuleCache, ModuleHash,
    backend::{Compile, Engine},
};
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::Module;

/// Counts what this thread has allocated, and the most that it had at one time. Other tests run beside.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: everything is passed on to the system's allocator; the counters do not touch memory, and being
// constants without destructors they allocate none.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get().wrapping_add(layout.size());
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // What another thread allocated may be freed here.
        LIVE.set(LIVE.get().saturating_sub(layout.size()));
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A stored module of some megabytes, its key and its file.
fn stored(
    folder: &Path,
    engine: &WasmtimeEngine,
) -> (FileSystemCache, ModuleHash, std::path::PathBuf) {
    let wasm = corpus::wasm("sqlite");
    let key = ModuleHash::of(&wasm);
    let cache = FileSystemCache::open(folder.join("cache")).unwrap();
    let path = cache.root().join(format!("v1/{}/{key}", engine.id()));
    if !path.exists() {
        let module = engine.compile(&wasm).unwrap();
        assert!(cache.save(key, engine, &module).unwrap().is_stored());
    }
    (cache, key, path)
}

fn engine() -> WasmtimeEngine {
    WasmtimeEngine::new(&wasmtime::Engine::default()).unwrap()
}

#[test]
fn a_load_allocates_no_memory_in_proportion_to_the_artifact() {
    let engine = engine();
    let keep = tempfile::tempdir().unwrap();
    let (cache, key, path) = stored(keep.path(), &engine);
    let size = usize::try_from(fs::metadata(&path).unwrap().len()).unwrap();
    let peak_of = |load: &dyn Fn() -> Module| {
        let before = LIVE.get();
        PEAK.set(before);
        let module = load();
        let peak = PEAK.get() - before;
        drop(module);
        peak
    };
    let raw = peak_of(&|| raw_load(&engine, &path));
    // The first one verifies, too.
    for _ in 0..2 {
        let ours = peak_of(&|| cache.load(key, &engine).unwrap().unwrap());
        assert!(
            ours < raw + size / 20,
            "{ours} bytes, and the engine alone {raw}, for {size} bytes of code"
        );
    }
}

#[test]
fn a_load_opens_the_entry_once_and_lists_creates_and_resolves_nothing() {
    if let Some(role) = role::role() {
        return load_between_marks(Path::new(&role));
    }
    let keep = tempfile::tempdir().unwrap();
    let (_, key, _) = stored(keep.path(), &engine());
    let entry = key.to_string();
    // Old enough for its verification to be remembered.
    thread::sleep(Duration::from_millis(2100));
    let log = keep.path().join("log");
    let status = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&log)
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_load_opens_the_entry_once_and_lists_creates_and_resolves_nothing",
        ])
        .env(role::ROLE, keep.path())
        .output()
        .expect("cannot run strace; `apt-get install strace` brings it");
    assert!(status.status.success(), "{status:?}");
    let log = fs::read_to_string(log).unwrap();

    let raw = Calls::between(&log, "raw");
    let verified = Calls::between(&log, "verified");
    let hit = Calls::between(&log, "hit");
    println!("raw: {raw:#?}\nverified: {verified:#?}\nhit: {hit:#?}");
    for calls in [&verified, &hit] {
        assert_eq!(calls.opens_of(&entry), 1, "{calls:#?}");
        for never in [
            "getdents",
            "mkdir",
            "readlink",
            "flock",
            "newfstatat",
            "rename",
            "fsync",
        ] {
            assert_eq!(calls.count(never), 0, "{calls:#?}");
        }
    }
    // Four calls beside the engine's own: the entry, its attributes, its footer, its hint.
    for (call, count) in [("openat(", 1), ("fstat(", 1), ("pread64(", 2)] {
        assert_eq!(hit.count(call), count, "{hit:#?}");
    }
    for calls in [&verified, &hit] {
        assert_eq!(calls.maps_of_files(), raw.maps_of_files(), "{calls:#?}");
    }
}

/// As a child: loads three ways, with a call to the system before and after each that shows in the trace.
fn load_between_marks(folder: &Path) {
    let engine = engine();
    let (cache, key, path) = stored(folder, &engine);
    // Whatever is done only once in a process is done now.
    drop(raw_load(&engine, &path));
    mark("raw");
    drop(raw_load(&engine, &path));
    mark("verified");
    let first = cache.load(key, &engine).unwrap();
    mark("hit");
    let second = cache.load(key, &engine).unwrap();
    mark("end");
    assert!(first.is_some() && second.is_some());
}

fn raw_load(engine: &WasmtimeEngine, path: &Path) -> Module {
    // SAFETY: the file was published by this test's cache, and nobody changes it.
    unsafe { Module::deserialize_open_file(engine.engine(), File::open(path).unwrap()) }.unwrap()
}

fn mark(name: &str) {
    assert!(fs::metadata(format!("/no/such/mark/{name}")).is_err());
}

/// The system calls of one section of a trace.
#[derive(Debug)]
struct Calls(Vec<String>);

impl Calls {
    fn between(log: &str, mark: &str) -> Self {
        let mark = format!("/no/such/mark/{mark}");
        let calls: Vec<_> = log
            .lines()
            .skip_while(|line| !line.contains(&mark))
            .skip(1)
            .take_while(|line| !line.contains("/no/such/mark/"))
            .map(|line| {
                line.split_once(' ')
                    .map_or(line, |(_, call)| call)
                    .trim()
                    .to_owned()
            })
            .collect();
        assert!(!calls.is_empty(), "the trace has no section {mark}");
        Self(calls)
    }

    fn count(&self, call: &str) -> usize {
        self.0.iter().filter(|line| line.starts_with(call)).count()
    }

    /// Beside it, the engine's folder is opened once by a handle, and the number of cores looked up once in a process.
    fn opens_of(&self, entry: &str) -> usize {
        self.0
            .iter()
            .filter(|line| line.starts_with("openat(") && line.contains(entry))
            .count()
    }

    fn maps_of_files(&self) -> usize {
        self.0
            .iter()
            .filter(|line| line.starts_with("mmap(") && !line.contains("MAP_ANONYMOUS"))
            .count()
    }
}
