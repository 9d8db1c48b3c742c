//! Compiling: results, errors, and what it asks of the threads around it.

use std::cell::Cell;
use std::panic;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::Compile;
use module_cache_wasmtime::EngineBuilder;
use rayon::prelude::*;
use wasmtime::Config;

use crate::kind::{Kind, SMALL, chain, letter};

for_both_kinds![
    what_was_compiled_runs,
    what_is_no_wasm_is_an_error_that_says_why,
    workers_of_the_global_pool_can_all_compile_at_once,
    compiling_needs_no_worker_of_the_global_pool,
    a_forked_child_compiles,
];

fn what_was_compiled_runs<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let module = engine.compile(&K::wasm(SMALL)).unwrap();
    assert_eq!(engine.at(&module, 42), letter(42));
}

fn what_is_no_wasm_is_an_error_that_says_why<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let truncated = {
        let mut wasm = K::wasm(SMALL);
        wasm.truncate(wasm.len() - 10);
        wasm
    };
    for (wasm, reason) in [
        (&b""[..], "unexpected end"),
        (b"(module)", "magic"),
        (&truncated, "end-of-file"),
    ] {
        let precompiler = K::precompiler(&EngineBuilder::new(&Config::new()), None);
        for error in [
            engine.compile(wasm).err().unwrap(),
            precompiler.compile(wasm).err().unwrap(),
        ] {
            assert!(error.is_invalid_wasm(), "{error}");
            let text = chain(&error);
            assert!(text.starts_with("cannot compile the "), "{text}");
            assert!(text.contains(reason), "{text}");
        }
    }
}

fn workers_of_the_global_pool_can_all_compile_at_once<K: Kind>() {
    thread_local!(static COMPILING: Cell<bool> = const { Cell::new(false) });
    let engine = wasmtime::Engine::default();
    (0..32_usize).into_par_iter().for_each(|n| {
        // Were a waiting worker given other work, it could be work that waits for this very module.
        assert!(!COMPILING.replace(true), "a waiting worker took up work");
        let engine = K::new(&engine);
        let module = engine.compile(&K::wasm(SMALL + n)).unwrap();
        assert_eq!(engine.at(&module, 42), letter(42));
        COMPILING.set(false);
    });
}

fn compiling_needs_no_worker_of_the_global_pool<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let wasm = K::wasm(SMALL);
    let all_busy = Barrier::new(rayon::current_num_threads() + 1);
    let compiled = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            rayon::broadcast(|_| {
                all_busy.wait();
                let start = Instant::now();
                while !compiled.load(Ordering::Relaxed) {
                    assert!(start.elapsed() < Duration::from_secs(60), "not compiled");
                    thread::sleep(Duration::from_millis(1));
                }
            });
        });
        all_busy.wait();
        engine.compile(&wasm).unwrap();
        compiled.store(true, Ordering::Relaxed);
    });
}

/// It has the pool of its parent, and none of its threads.
fn a_forked_child_compiles<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    engine.compile(&K::wasm(SMALL)).unwrap();
    // SAFETY: the child makes an engine, compiles, and ends without running anything else of this process.
    let child = match unsafe { libc::fork() } {
        0 => {
            let compiled = panic::catch_unwind(|| {
                let engine = K::new(&wasmtime::Engine::default());
                engine.compile(&K::wasm(SMALL)).is_ok()
            });
            // SAFETY: nothing of the parent's is run at its end.
            unsafe { libc::_exit(i32::from(!compiled.unwrap_or(false))) }
        }
        child => child,
    };
    let begun = Instant::now();
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if begun.elapsed() > Duration::from_secs(60) {
            // SAFETY: it is a child that was not waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(status, 0, "the child did not compile");
}
