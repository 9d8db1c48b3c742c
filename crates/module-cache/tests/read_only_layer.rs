//! The example of a read-only folder below a writable one does what it says.

#[path = "../examples/read_only_layer.rs"]
mod read_only_layer;

use std::fs;
use std::path::Path;

use module_cache::{FileSystemCache, HashedModule, ModuleLoader, loader::Source};
use module_cache_wasmtime::WasmtimeEngine;

fn engine() -> WasmtimeEngine {
    WasmtimeEngine::new(&wasmtime::Engine::default()).unwrap()
}

fn module(n: u32) -> HashedModule<'static> {
    let text = format!(r#"(module (func (export "n") (result i32) i32.const {n}))"#);
    HashedModule::new(wat::parse_str(text).unwrap())
}

/// Every file below `folder`, and when it was last changed.
fn snapshot(folder: &Path) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, metadata.modified().unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn what_the_system_has_is_not_compiled_and_what_it_has_not_goes_to_the_user() {
    let keep = tempfile::tempdir().unwrap();
    let (system, user) = (keep.path().join("system"), keep.path().join("user"));
    let image = ModuleLoader::new(engine(), FileSystemCache::open(&system).unwrap());
    assert_eq!(image.load(&module(1)).unwrap().source, Source::Compiled);
    let before = snapshot(&system);

    let open = || ModuleLoader::new(engine(), read_only_layer::open(&system, &user).unwrap());
    let loader = open();
    assert_eq!(loader.load(&module(1)).unwrap().source, Source::Stored);
    assert_eq!(loader.load(&module(1)).unwrap().source, Source::Resident);
    assert_eq!(loader.load(&module(2)).unwrap().source, Source::Compiled);

    let below = FileSystemCache::open(&user).unwrap().usage().unwrap();
    assert_eq!(below.entries, 2, "both are the user's now");
    for n in [1, 2] {
        assert_eq!(open().load(&module(n)).unwrap().source, Source::Stored);
    }
    assert_eq!(
        snapshot(&system),
        before,
        "nothing was written to the system's folder"
    );
}

#[test]
fn a_layer_that_is_not_there_is_an_error_and_is_not_created() {
    let keep = tempfile::tempdir().unwrap();
    let (system, user) = (keep.path().join("system"), keep.path().join("user"));
    assert!(read_only_layer::open(&system, &user).is_err());
    assert!(!system.exists());
}
