//! Many processes and threads that ask for one cold module at the same moment.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/role.rs"]
mod role;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use module_cache::{FileSystemCache, HashedModule, ModuleLoader};
use module_cache_wasmtime::WasmtimeEngine;

const PROCESSES: usize = 8;
const THREADS: usize = 8;

#[test]
fn eight_processes_of_eight_threads_compile_a_cold_module_once() {
    if let Some(role) = role::role() {
        return ask(Path::new(&role));
    }
    // 4.4 MB, which takes about a second to compile.
    let wasm = corpus::wasm("resvg");
    let keep = tempfile::tempdir().unwrap();
    fs::write(keep.path().join("module.wasm"), wasm).unwrap();
    fs::create_dir(keep.path().join("ready")).unwrap();
    fs::create_dir(keep.path().join("compiled")).unwrap();

    let children: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "eight_processes_of_eight_threads_compile_a_cold_module_once",
                ])
                .env(role::ROLE, keep.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    while fs::read_dir(keep.path().join("ready")).unwrap().count() < PROCESSES {
        thread::sleep(Duration::from_millis(5));
    }
    fs::write(keep.path().join("go"), "").unwrap();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let compiled: u64 = fs::read_dir(keep.path().join("compiled"))
        .unwrap()
        .map(|entry| {
            fs::read_to_string(entry.unwrap().path())
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(compiled, 1);
}

/// One process of the herd.
fn ask(folder: &Path) {
    let engine = WasmtimeEngine::new(&wasmtime::Engine::default()).unwrap();
    let cache = FileSystemCache::open(folder.join("cache")).unwrap();
    let loader = ModuleLoader::new(engine, cache);
    let module = HashedModule::from_file(folder.join("module.wasm")).unwrap();
    let name = std::process::id().to_string();
    fs::write(folder.join("ready").join(&name), "").unwrap();
    while !folder.join("go").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let module = loader.load(&module).unwrap().module;
                assert!(module.exports().next().is_some());
            });
        }
    });
    assert_eq!(loader.stats().cache_errors, 0);
    fs::write(
        folder.join("compiled").join(name),
        loader.stats().compiled.to_string(),
    )
    .unwrap();
}
