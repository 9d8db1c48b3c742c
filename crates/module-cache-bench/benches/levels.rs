//! What it costs to compile for more than one kind of CPU: the time to compile, load and run the code of each level, and
//! to make an engine that accepts them all.
//!
//! Prints lines of task, contender and nanoseconds, which `cargo xtask bench` reads.

use std::time::Instant;

use module_cache_bench::{corpus, disk, effort, work};
use module_cache_core::{Compile, ModuleCache, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_wasmtime::{CpuLevel, EngineBuilder};
use wasmtime::{Config, Module, Result};

/// With the name of what is compiled for this very CPU, which none of the levels can beat.
const LEVELS: [(&str, Option<CpuLevel>); 4] = [
    ("baseline: this CPU", None),
    ("module-cache, x86-64-v3", Some(CpuLevel::X86_64V3)),
    ("module-cache, x86-64-v2", Some(CpuLevel::X86_64V2)),
    ("module-cache, x86-64", Some(CpuLevel::X86_64)),
];

/// The modules, and work that each does. esbuild is written for JavaScript, and does none here.
type Work = fn(&Module) -> Result<()>;
const MODULES: [(&str, Option<Work>); 4] = [
    ("sqlite", Some(|module| work::query(module, 500_000))),
    ("qjs", Some(|module| work::script(module, 300_000))),
    ("resvg", Some(work::draw)),
    ("esbuild", None),
];

fn main() {
    let host = || {
        let builder = EngineBuilder::new(&Config::new());
        let levels = CpuLevel::ALL.iter();
        levels.fold(builder, |builder, level| builder.accept(*level))
    };
    for _ in 0..effort::choose(5, 21) {
        timed(
            "make an engine: all levels",
            "baseline: accepts none",
            || EngineBuilder::new(&Config::new()).module_engine().unwrap(),
        );
        timed("make an engine: all levels", "module-cache", || {
            host().module_engine().unwrap()
        });
    }
    for (name, work) in MODULES {
        let hash = ModuleHash::of(name.as_bytes());
        let wasm = corpus::wasm(name);
        let mut folders = LEVELS.map(|(level, cpu)| {
            let folder = disk::scratch_folder();
            let cache = FileSystemCache::open(folder.path().join("cache")).unwrap();
            (level, cpu, folder, cache)
        });
        for round in 0..effort::choose(1, 3) {
            for (level, cpu, _, cache) in &folders {
                let builder = EngineBuilder::new(&Config::new());
                let task = format!("compile for a level: {name}");
                let saved = if let Some(cpu) = cpu {
                    let engine = builder.cpu(*cpu).module_precompiler(None).unwrap();
                    let code = timed(&task, level, || engine.compile(&wasm).unwrap());
                    cache.save(hash, &engine, &code)
                } else {
                    let engine = builder.module_engine().unwrap();
                    let module = timed(&task, level, || engine.compile(&wasm).unwrap());
                    cache.save(hash, &engine, &module)
                };
                assert_eq!(saved.unwrap().is_stored(), round == 0);
            }
            folders.reverse();
        }
        let engine = host().module_engine().unwrap();
        for round in 0..effort::choose(4, 22) {
            for (level, _, _, cache) in &folders {
                let load = || cache.load(hash, &engine).unwrap().unwrap();
                // The first hashes the entry.
                if round == 0 {
                    load();
                    continue;
                }
                let module = timed(&format!("load code of a level: {name}"), level, load);
                if let Some(work) = work {
                    timed(&format!("run code of a level: {name}"), level, || {
                        work(&module).unwrap();
                    });
                }
            }
            // To and fro, so that none always follows the same one.
            folders.reverse();
        }
    }
}

fn timed<T>(task: &str, contender: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let outcome = work();
    println!("{task}\t{contender}\t{}", began.elapsed().as_nanos());
    outcome
}
