//! wasmtime modules, compiled once for all runs: this project's own cache keeps them.

use module_cache_core::{ArtifactEngine, HashedModule, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_loader::ModuleLoader;
use module_cache_wasmtime::WasmtimeEngine;
use wasmtime::{Config, Module, WasmBacktraceDetails};

use crate::{corpus, disk, effort, generated};

/// A module to measure with.
pub struct Compiled {
    /// How it is called in tables.
    pub name: String,
    /// What it was compiled from.
    pub wasm: Vec<u8>,
    /// The hash of that.
    pub hash: ModuleHash,
    /// The module.
    pub module: Module,
    /// The module as `serialize` writes it.
    pub artifact: Vec<u8>,
}

/// wasmtime, configured as the command configures it.
///
/// # Panics
///
/// When wasmtime does not work on this machine.
pub fn engine() -> WasmtimeEngine {
    let engine = wasmtime::Engine::new(&config()).expect("wasmtime works here");
    WasmtimeEngine::new(&engine).expect("it has a compiler")
}

/// What [`engine`] is configured with, for those who add to it.
pub fn config() -> Config {
    let mut config = Config::new();
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// The corpus and generated programs, or some of both for a quick look.
pub fn modules(engine: &WasmtimeEngine) -> Vec<Compiled> {
    let corpus = effort::choose(&["sqlite", "esbuild"][..], &["sqlite", "resvg", "esbuild"]);
    let sizes = effort::choose(
        &[("1 KB", 1_000)][..],
        &[
            ("1 KB", 1_000),
            ("64 KB", 64_000),
            ("1 MB", 1_000_000),
            ("16 MB", 16_000_000),
        ],
    );
    let corpus = corpus
        .iter()
        .map(|name| ((*name).to_owned(), corpus::wasm(name)));
    let generated = sizes
        .iter()
        .map(|(name, size)| (format!("generated, {name}"), generated::program(*size)));
    corpus
        .chain(generated)
        .map(|(name, wasm)| compile(engine, name, wasm))
        .collect()
}

/// Compiles one, or takes it from the last run.
///
/// # Panics
///
/// When the wasm is not valid, or the target folder cannot be used.
pub fn compile(engine: &WasmtimeEngine, name: String, wasm: Vec<u8>) -> Compiled {
    let cache = FileSystemCache::open(disk::kept_folder("compiled")).expect("it is ours");
    let loader = ModuleLoader::new(engine.clone(), cache);
    let hashed = HashedModule::new(wasm.as_slice());
    let hash = hashed.hash();
    let module = loader.load(&hashed).expect("the wasm is valid").module;
    let artifact = engine
        .serialize(&module)
        .expect("the module is of this engine")
        .into_owned();
    Compiled {
        name,
        wasm,
        hash,
        module,
        artifact,
    }
}
