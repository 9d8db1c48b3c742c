//! Compiling a wasmtime module through the adapter, which has a thread pool of its own, beside wasmtime
//! alone, which compiles in rayon's global pool; no cache has a part in it.
//!
//! Both pools get their size when a process first uses them, so each number of threads is measured in a
//! child process. A compilation takes up to seconds, so every round has one of each kind, where criterion
//! would have ten. It prints `task<TAB>contender<TAB>nanoseconds`.

use std::env;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use module_cache_bench::{compiled, corpus, effort};
use module_cache_core::Compile;
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::{Engine, Module};

/// Tells a child process how many threads it has, in the words of the task.
const THREADS: &str = "MODULE_CACHE_BENCH_THREADS";

fn main() {
    if let Ok(threads) = env::var(THREADS) {
        return measure(&threads);
    }
    for (count, threads) in [
        ("1", "1 thread"),
        ("2", "2 threads"),
        ("3", "3 threads"),
        ("4", "4 threads"),
    ] {
        let mut child = Command::new(env::current_exe().unwrap());
        child.env(THREADS, threads).env("RAYON_NUM_THREADS", count);
        assert!(child.status().unwrap().success(), "{child:?} failed");
    }
}

/// As a child process.
fn measure(threads: &str) {
    let alone = Engine::new(&compiled::config()).unwrap();
    let adapter = WasmtimeEngine::new(&alone).unwrap();
    for module in effort::choose(&["sqlite"][..], &["sqlite", "resvg"]) {
        let wasm = corpus::wasm(module);
        let mut contenders: [(&str, &dyn Fn() -> Module); 2] = [
            ("baseline: wasmtime alone", &|| {
                Module::from_binary(&alone, &wasm).unwrap()
            }),
            ("module-cache, WasmtimeEngine", &|| {
                adapter.compile(&wasm).unwrap()
            }),
        ];
        // Starts both pools.
        for (_, compile) in contenders {
            drop(compile());
        }
        for _ in 0..effort::choose(5, 21) {
            for (name, compile) in contenders {
                let began = Instant::now();
                let compiled = black_box(compile());
                let took = began.elapsed();
                drop(compiled);
                println!("compile: {module}, {threads}\t{name}\t{}", took.as_nanos());
            }
            // To and fro, so that neither always follows the other.
            contenders.reverse();
        }
    }
}
