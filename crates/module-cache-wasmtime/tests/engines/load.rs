//! Loading what was stored: from files and from memory, by this process and by another.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;

use module_cache_core::{Artifact, SealedEntry};

use crate::kind::{Kind, LARGE, SMALL, artifact, chain, entry_in_file, letter, trust};

for_both_kinds![
    what_is_loaded_from_a_file_runs_after_the_file_is_gone,
    what_is_loaded_from_memory_runs,
    large_code_is_mapped_and_small_code_keeps_no_file_open,
    a_file_that_cannot_be_mapped_is_read,
    what_another_process_stored_is_loaded_here,
    what_is_stored_is_loaded_without_starting_a_thread,
    what_is_no_artifact_is_an_error,
    code_of_another_configuration_is_an_error,
];

fn what_is_loaded_from_a_file_runs_after_the_file_is_gone<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    for data_len in [SMALL, LARGE] {
        let entry = entry_in_file(&path, &engine.compile_entry(&K::wasm(data_len)));
        let module = engine.load(entry).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(engine.at(&module, 99), letter(99));
        let last = u32::try_from(data_len - 1).unwrap();
        assert_eq!(engine.at(&module, last), letter(last));
        assert!(engine.weight(&module).unwrap() >= data_len as u64);
    }
}

fn what_is_loaded_from_memory_runs<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    for data_len in [SMALL, LARGE] {
        let wasm = K::wasm(data_len);
        let bytes = engine.compile_entry(&wasm);
        let entry = SealedEntry::open(bytes, &engine.key(&wasm), &trust()).unwrap();
        assert_eq!(engine.at(&engine.load(entry).unwrap(), 7), letter(7));
    }
}

fn large_code_is_mapped_and_small_code_keeps_no_file_open<K: Kind>() {
    if !cfg!(target_os = "linux") {
        return; // Nowhere else can a test see it, or a component be mapped.
    }
    let engine = K::new(&wasmtime::Engine::default());
    let dir = tempfile::tempdir().unwrap();
    for (data_len, kept) in [(SMALL, false), (LARGE, true)] {
        let path = dir.path().join(data_len.to_string());
        let entry = entry_in_file(&path, &engine.compile_entry(&K::wasm(data_len)));
        let module = engine.load(entry).unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(maps.contains(path.to_str().unwrap()), kept, "mapped");
        let open = fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter(|fd| {
                let target = fd
                    .as_ref()
                    .ok()
                    .and_then(|fd| fs::read_link(fd.path()).ok());
                target.is_some_and(|target| target == path)
            })
            .count();
        assert_eq!(open, usize::from(kept), "descriptors");
        drop(module);
    }
}

fn a_file_that_cannot_be_mapped_is_read<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    let entry = engine.compile_entry(&K::wasm(LARGE));
    fs::write(&path, &entry).unwrap();
    // Too long to be mapped, and all but its beginning a hole.
    let huge = OpenOptions::new().write(true).open(&path).unwrap();
    huge.set_len(8 << 40).unwrap();
    let artifact = Artifact::File {
        file: File::open(&path).unwrap(),
        len: artifact(&entry).len() as u64,
    };
    let module = engine.load_artifact(artifact).unwrap();
    assert_eq!(engine.at(&module, 250), letter(250));
}

fn what_another_process_stored_is_loaded_here<K: Kind>() {
    const FILE: &str = "MODULE_CACHE_TEST_ENTRY";
    let engine = K::new(&wasmtime::Engine::default());
    let wasm = K::wasm(LARGE);
    if let Some(path) = std::env::var_os(FILE) {
        fs::write(path, engine.compile_entry(&wasm)).unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    run_again::<K>("what_another_process_stored_is_loaded_here", FILE, &path);

    // Opening it under this process's key succeeds only if the ids are equal.
    let bytes = fs::read(&path).unwrap();
    SealedEntry::open(bytes.clone(), &engine.key(&wasm), &trust()).unwrap();
    let module = engine.load(entry_in_file(&path, &bytes)).unwrap();
    assert_eq!(engine.at(&module, 42), letter(42));
}

fn what_is_stored_is_loaded_without_starting_a_thread<K: Kind>() {
    const FILE: &str = "MODULE_CACHE_TEST_STORED";
    if !cfg!(target_os = "linux") {
        return; // Nowhere else are a process's threads listed.
    }
    let wasm = K::wasm(LARGE);
    let Some(path) = std::env::var_os(FILE) else {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        let engine = K::new(&wasmtime::Engine::default());
        fs::write(&path, engine.compile_entry(&wasm)).unwrap();
        let this_test = "what_is_stored_is_loaded_without_starting_a_thread";
        return run_again::<K>(this_test, FILE, &path);
    };
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let engine = K::new(&wasmtime::Engine::default());
    let entry = fs::read(&path).unwrap();
    let module = engine
        .load(entry_in_file(Path::new(&path), &entry))
        .unwrap();
    assert_eq!(engine.at(&module, 42), letter(42));
    assert_eq!(threads(), before);
}

/// Runs the test of this kind alone in a process, with `variable` naming a file.
fn run_again<K: Kind>(test: &str, variable: &str, file: &Path) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args([&format!("load::{test}::{}", K::NAME), "--exact"])
        .env(variable, file)
        .output()
        .unwrap();
    // One that ran no test proves nothing.
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("test result: ok. 1 passed"), "{child:?}");
}

fn what_is_no_artifact_is_an_error<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    for bytes in [vec![], b"no ELF file".to_vec(), K::wasm(SMALL)] {
        let error = engine.load_artifact(Artifact::Bytes(bytes)).err().unwrap();
        assert!(
            chain(&error).starts_with("cannot load the stored code: "),
            "{}",
            chain(&error)
        );
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("short");
    fs::write(&path, vec![0; 70_000]).unwrap();
    let short = Artifact::File {
        file: File::open(&path).unwrap(),
        len: 70_001,
    };
    let error = engine.load_artifact(short).err().unwrap();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the stored code: ")
    );
}

fn code_of_another_configuration_is_an_error<K: Kind>() {
    let engine = K::new(&wasmtime::Engine::default());
    let other = K::new(&wasmtime::Engine::new(wasmtime::Config::new().consume_fuel(true)).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let entry = engine.compile_entry(&K::wasm(LARGE));
    let error = other
        .load(entry_in_file(&dir.path().join("entry"), &entry))
        .err()
        .unwrap();
    assert!(chain(&error).contains("fuel"), "{}", chain(&error));
}

#[cfg(feature = "component-model")]
#[test]
fn a_module_is_no_component_and_a_component_no_module() {
    use module_cache_core::Engine;
    use module_cache_wasmtime::{WasmtimeComponentEngine, WasmtimeEngine};

    let engine = wasmtime::Engine::default();
    let modules = WasmtimeEngine::new(&engine).unwrap();
    let components = WasmtimeComponentEngine::new(&engine).unwrap();
    assert_ne!(modules.id(), components.id());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    for data_len in [SMALL, LARGE] {
        let module = modules.compile_entry(&WasmtimeEngine::wasm(data_len));
        let component = components.compile_entry(&WasmtimeComponentEngine::wasm(data_len));
        assert!(components.load(entry_in_file(&path, &module)).is_err());
        assert!(modules.load(entry_in_file(&path, &component)).is_err());
    }
}
