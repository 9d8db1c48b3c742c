//! Many plugins on one engine: each is held to its own limits, and what is compiled is shared.

use std::error::Error;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::{Engine, HashedModule, ModuleCache};
use module_cache_fallback::{FallbackCache, FallbackExt};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::Source;
use module_cache_memory::{SharedCache, in_memory};
use module_cache_wasmtime::WasmtimeEngine;
use plugin_host::{Limits, Plugin, PluginHost, PluginHosts, Settings};
use sha2::{Digest, Sha256};
use wasmtime::Trap;

const DOUBLE: &str = include_str!("../plugins/double.wat");

const ENDLESS: &str = r#"(module
    (func (export "transform") (param i32) (result i32) (loop (br 0)) unreachable))"#;

const ENDLESS_START: &str = r#"(module
    (func $start (loop (br 0)))
    (start $start)
    (func (export "transform") (param i32) (result i32) (local.get 0)))"#;

/// Counts its number down to 0.
const COUNT: &str = r#"(module
    (func (export "transform") (param $number i32) (result i32)
        (loop $again
            (local.set $number (i32.sub (local.get $number) (i32.const 1)))
            (br_if $again (local.get $number)))
        (local.get $number)))"#;

/// Grows its memory by a number of pages.
const GROW: &str = r#"(module
    (memory 1)
    (func (export "transform") (param i32) (result i32) (memory.grow (local.get 0))))"#;

const TWO_MEMORIES: &str = r#"(module
    (memory 1)
    (memory 1)
    (func (export "transform") (param i32) (result i32) (local.get 0)))"#;

const TICK: Duration = Duration::from_millis(10);

type Memory = SharedCache<WasmtimeEngine>;

fn hashed(text: &str) -> HashedModule<'static> {
    HashedModule::new(wat::parse_str(text).unwrap())
}

fn host(settings: Settings) -> PluginHost<Memory> {
    PluginHost::new(settings, in_memory()).unwrap()
}

fn start<C: ModuleCache<WasmtimeEngine>>(
    host: &PluginHost<C>,
    text: &str,
    limits: Limits,
) -> Plugin {
    host.load("test", &hashed(text), limits).unwrap()
}

/// What a call or a load failed with, causes included.
fn chain(error: impl Into<Box<dyn Error + Send + Sync>>) -> String {
    format!("{:#}", anyhow::Error::from_boxed(error.into()))
}

fn for_time(time: Duration) -> Limits {
    Limits {
        time,
        ..Limits::default()
    }
}

/// For a call that must end by itself, on a slow machine too.
const PLENTY: Duration = Duration::from_mins(10);

#[test]
fn a_runaway_plugin_is_stopped_at_its_deadline_and_another_goes_on() {
    let host = host(Settings::default());
    let short = 3 * TICK;
    let mut endless = start(&host, ENDLESS, for_time(short));
    let mut long = start(&host, COUNT, for_time(PLENTY));
    let both = Arc::new(Barrier::new(2));
    let other = thread::spawn({
        let both = Arc::clone(&both);
        move || {
            both.wait();
            (long.transform(1 << 29).unwrap(), Instant::now())
        }
    });
    both.wait();
    let begun = Instant::now();
    let error = endless.transform(0).unwrap_err();
    let stopped = Instant::now();
    assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt), "{error:?}");
    assert!(stopped - begun >= short);
    let (answer, finished) = other.join().unwrap();
    assert_eq!(answer, 0);
    assert!(finished > stopped, "there was nothing left to be stopped");
}

#[test]
fn ticks_that_others_add_end_no_call_before_its_deadline() {
    let host = host(Settings::default());
    let mut plugin = start(&host, COUNT, for_time(PLENTY));
    let call = thread::spawn(move || plugin.transform(1 << 24).unwrap());
    while !call.is_finished() {
        host.loader().engine().engine().increment_epoch();
    }
    assert_eq!(call.join().unwrap(), 0);
}

#[test]
fn each_call_has_the_whole_time() {
    let host = host(Settings::default());
    let time = 50 * TICK;
    let mut plugin = start(&host, DOUBLE, for_time(time));
    for number in 0..3 {
        thread::sleep(time);
        assert_eq!(plugin.transform(number).unwrap(), 2 * number);
    }
}

#[test]
fn a_start_function_is_stopped_too() {
    let host = host(Settings::default());
    let loaded = host.load("test", &hashed(ENDLESS_START), for_time(TICK));
    let error = chain(loaded.err().unwrap());
    assert!(error.contains("interrupt"), "{error}");
}

#[test]
fn the_ticker_keeps_no_engine() {
    let host = host(Settings::default());
    let engine = host.loader().engine().engine().weak();
    drop(host);
    let begun = Instant::now();
    while engine.upgrade().is_some() {
        assert!(begun.elapsed() < PLENTY);
        thread::yield_now();
    }
}

#[test]
fn a_plugin_that_asks_for_too_much_memory_fails_alone() {
    let host = host(Settings::default());
    let limits = |memory| Limits {
        memory,
        ..Limits::default()
    };
    let mut small = start(&host, GROW, limits(2 << 16));
    let mut large = start(&host, GROW, limits(200 << 16));
    assert_eq!(small.transform(1).unwrap(), 1);
    let error = chain(small.transform(1).unwrap_err());
    assert!(error.contains("growing memory to 196608 bytes"), "{error}");
    assert_eq!(large.transform(100).unwrap(), 1);
    assert_eq!(large.transform(99).unwrap(), 101);
}

#[test]
fn a_second_memory_does_not_double_what_a_plugin_may_have() {
    let host = host(Settings::default());
    let loaded = host.load("test", &hashed(TWO_MEMORIES), Limits::default());
    let error = chain(loaded.err().unwrap());
    assert!(error.contains("memory count too high"), "{error}");
}

#[test]
fn each_call_has_fuel_of_its_own() {
    let host = host(Settings {
        fuel: true,
        ..Settings::default()
    });
    let fuel = |fuel| Limits {
        fuel,
        ..for_time(PLENTY)
    };
    let mut small = start(&host, COUNT, fuel(10_000));
    let mut large = start(&host, COUNT, fuel(10_000_000));
    for _ in 0..20 {
        assert_eq!(small.transform(1_000).unwrap(), 0);
    }
    let error = small.transform(100_000).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel), "{error:?}");
    assert_eq!(large.transform(100_000).unwrap(), 0);
}

type Stored = FallbackCache<Memory, Arc<FileSystemCache>>;

/// A folder, and what a process makes that uses it.
fn process(folder: &Arc<FileSystemCache>) -> PluginHosts<Stored> {
    PluginHosts::new(in_memory().with_fallback(Arc::clone(folder)))
}

const POOLED: Settings = Settings {
    fuel: false,
    pool: Some(2),
};

#[test]
fn engines_of_one_id_share_what_is_stored_and_nothing_in_memory() {
    let keep = tempfile::tempdir().unwrap();
    let folder = Arc::new(FileSystemCache::open(keep.path().join("cache")).unwrap());
    let hosts = process(&folder);
    let fueled = Settings {
        fuel: true,
        ..Settings::default()
    };
    let [plain, pooled, fueled] =
        [Settings::default(), POOLED, fueled].map(|settings| hosts.get(settings).unwrap());
    let engines = [&plain, &pooled, &fueled].map(|host| host.loader().engine());
    assert_eq!(engines[0].id(), engines[1].id());
    assert_ne!(engines[0].instance().id(), engines[1].instance().id());
    assert_ne!(engines[0].id(), engines[2].id());

    let sources = [&plain, &pooled, &fueled].map(|host| {
        let source = || start(host, DOUBLE, Limits::default()).source();
        (source(), source())
    });
    let expected = [Source::Compiled, Source::Stored, Source::Compiled];
    assert_eq!(sources, expected.map(|first| (first, Source::Resident)));
    assert_eq!(folder.usage().unwrap().entries, 2);

    let again = hosts.get(Settings::default()).unwrap();
    assert!(Arc::ptr_eq(&plain, &again));
}

#[test]
fn a_second_start_compiles_nothing() {
    let keep = tempfile::tempdir().unwrap();
    let folder = || Arc::new(FileSystemCache::open(keep.path().join("cache")).unwrap());
    for compiled in [2, 0] {
        let host = process(&folder()).get(Settings::default()).unwrap();
        for text in [DOUBLE, COUNT] {
            start(&host, text, Limits::default());
        }
        let stats = host.loader().stats();
        assert_eq!((stats.compiled, stats.stored), (compiled, 2 - compiled));
    }
}

#[test]
fn the_pool_is_for_all_plugins_together() {
    let host = host(POOLED);
    let wasm = hashed(DOUBLE);
    let load = || host.load("test", &wasm, Limits::default());
    let (first, second) = (load().unwrap(), load().unwrap());
    let error = chain(load().err().unwrap());
    assert!(error.contains("limit of 2 for core instances"), "{error}");
    drop(first);
    assert_eq!(load().unwrap().transform(4).unwrap(), 8);
    drop(second);

    let loaded = host.load("test", &hashed(TWO_MEMORIES), Limits::default());
    let error = chain(loaded.err().unwrap());
    assert!(error.contains("per-instance limit of 1"), "{error}");
}

/// A host with a memory cache that the test can empty.
fn with_memory() -> (PluginHost<Memory>, Memory) {
    let memory = in_memory();
    let host = PluginHost::new(Settings::default(), memory.clone()).unwrap();
    (host, memory)
}

fn load_known(host: &PluginHost<Memory>, sha256: [u8; 32], wasm: &[u8]) -> Result<Source, String> {
    let loaded = host.load_known("test", sha256, wasm, Limits::default());
    loaded.map(|plugin| plugin.source()).map_err(chain)
}

#[test]
fn wasm_of_a_known_sha256_is_not_looked_at() {
    let (host, _) = with_memory();
    let wasm = wat::parse_str(DOUBLE).unwrap();
    let sha256 = Sha256::digest(&wasm).into();
    assert_eq!(load_known(&host, sha256, &wasm), Ok(Source::Compiled));
    // What has other bytes, or none, would have another hash.
    let other = wat::parse_str(COUNT).unwrap();
    for wasm in [&wasm[..], &other, b""] {
        assert_eq!(load_known(&host, sha256, wasm), Ok(Source::Resident));
    }
}

#[test]
fn a_sha256_of_other_wasm_loads_nothing_and_stores_nothing() {
    let (host, memory) = with_memory();
    let [wasm, other] = [DOUBLE, COUNT].map(|text| wat::parse_str(text).unwrap());
    let sha256 = Sha256::digest(&wasm).into();
    let error = load_known(&host, sha256, &other).unwrap_err();
    assert!(error.contains("names other wasm"), "{error}");
    assert!(memory.is_empty());

    // The module of a known SHA-256 leaves the memory, and has to be compiled again.
    assert_eq!(load_known(&host, sha256, &wasm), Ok(Source::Compiled));
    memory.clear();
    let error = load_known(&host, sha256, &other).unwrap_err();
    assert!(error.contains("names other wasm"), "{error}");
    assert!(memory.is_empty());
    assert_eq!(load_known(&host, sha256, &wasm), Ok(Source::Compiled));
}
