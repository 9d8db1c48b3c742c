//! A folder that the system provides, pre-warmed and read-only, below one of the user's own.
//!
//! `cargo run -p module-cache --all-features --example read_only_layer -- SYSTEM_DIR USER_DIR FILE.wasm`
//!
//! This is how a container image ships a warm cache: `module-cache compile --cache-dir /usr/share/modules app/`
//! with `--world-readable` while the image is built, and this stack in the program. What the image
//! has is never compiled; what it has not is compiled once and kept in the user's folder.

use std::path::Path;

use module_cache::{
    CacheError, FallbackCache, FallbackExt, FileSystemCache, HashedModule, ModuleLoader,
    SharedCache, in_memory,
};
use module_cache_wasmtime::WasmtimeEngine;

/// Memory over the user's folder over the system's.
pub(crate) type Layers =
    FallbackCache<SharedCache<WasmtimeEngine>, FallbackCache<FileSystemCache, FileSystemCache>>;

/// Opens the stack. Entries of the system's folder, which must be root's or the user's own, are copied into
/// the user's folder when they are first used, and mapped from there.
pub(crate) fn open(system: &Path, user: &Path) -> Result<Layers, CacheError> {
    let system = FileSystemCache::builder(system).read_only().open()?;
    let user = FileSystemCache::open(user)?;
    Ok(in_memory().with_fallback(user.with_fallback(system)))
}

#[allow(dead_code, reason = "the test of this example takes only the stack")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [system, user, file] = &arguments[..] else {
        return Err("name the system's folder, the user's folder, and a wasm file".into());
    };
    let engine = WasmtimeEngine::new(&wasmtime::Engine::default())?;
    let loader = ModuleLoader::new(engine, open(system.as_ref(), user.as_ref())?);
    let loaded = loader.load(&HashedModule::from_file(file)?)?;
    println!("{} in {:?}", loaded.source, loaded.elapsed);
    Ok(())
}
