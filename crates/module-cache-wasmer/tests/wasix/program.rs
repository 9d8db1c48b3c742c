//! A WASI program that wasmer-wasix runs in one process after another.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_executor::block_on;
use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_memory::SharedCache;
use module_cache_testkit::{Method, Observed};
use module_cache_wasmer::wasix::{WasixModuleCache, WasixModuleLoader};
use tokio::runtime::Runtime as Tokio;
use wasmer_wasix::Pipe;
use wasmer_wasix::runners::wasi::{RuntimeOrEngine, WasiRunner};
use wasmer_wasix::runtime::module_cache::HashedModuleData;
use wasmer_wasix::runtime::{ModuleInput, Runtime};
use wasmer_wasix::virtual_fs::AsyncReadExt;

use crate::support::{OwnRuntime, engine, pluggable_runtime};

/// Tells a process that a test started where its folder is.
const ROLE: &str = "MODULE_CACHE_TEST_ROLE";

#[test]
fn the_second_process_compiles_nothing() {
    if let Ok(folder) = std::env::var(ROLE) {
        return run_program(Path::new(&folder), false);
    }
    run_in_two_processes("program::the_second_process_compiles_nothing");
}

#[test]
fn the_second_process_compiles_nothing_with_the_loader() {
    if let Ok(folder) = std::env::var(ROLE) {
        return run_program(Path::new(&folder), true);
    }
    run_in_two_processes("program::the_second_process_compiles_nothing_with_the_loader");
}

#[track_caller]
fn run_in_two_processes(test: &str) {
    let folder = tempfile::tempdir().unwrap();
    for expected in [
        "printed 42, compiled 1, loaded 0",
        "printed 42, compiled 0, loaded 1",
    ] {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(ROLE, folder.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        let report = fs::read_to_string(folder.path().join("report")).unwrap();
        assert_eq!(report, expected);
    }
}

/// One process: runs the sample on a runtime over memory over files, and writes down what it took.
fn run_program(folder: &Path, with_loader: bool) {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/toolbox.wasm");
    let program = HashedModuleData::new(fs::read(sample).unwrap());
    let hash = *program.hash();
    let tokio = Tokio::new().unwrap();
    let (engine, known) = engine();
    let files = FileSystemCache::open(folder.join("cache")).unwrap();
    let chain = Observed::new(SharedCache::new().with_fallback(files));
    let cache = WasixModuleCache::new([known], chain, tokio.handle().clone());
    let base = pluggable_runtime(&engine, cache.clone(), tokio.handle());
    let runtime: Arc<dyn Runtime + Send + Sync> = if with_loader {
        let loader = WasixModuleLoader::new(cache.clone());
        Arc::new(OwnRuntime { base, loader })
    } else {
        Arc::new(base)
    };

    let module = runtime
        .resolve_module_sync(ModuleInput::Hashed(Cow::Borrowed(&program)), None, None)
        .unwrap();
    let (stdout, mut printed) = Pipe::channel();
    {
        let mut runner = WasiRunner::new();
        runner
            .with_stdout(Box::new(stdout))
            .with_args(["calc", "6*7"]);
        runner
            .run_wasm(RuntimeOrEngine::Runtime(runtime), "toolbox", module, hash)
            .unwrap();
    }
    let mut text = String::new();
    block_on(printed.read_to_string(&mut text)).unwrap();

    let report = format!(
        "printed {}, compiled {}, loaded {}",
        text.trim(),
        // Whatever is compiled is saved, and nothing else.
        cache.cache().calls(Method::Save),
        cache.cache().inner().fallback().stats().hits,
    );
    fs::write(folder.join("report"), report).unwrap();
}
