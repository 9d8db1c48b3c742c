//! Loading what was stored: from files and from memory, by this process and by another.

use std::fs::{self, File};
use std::process::Command;

use module_cache_core::{Artifact, ArtifactEngine, Compile, ModuleCache, ModuleHash, SealedEntry};
use module_cache_memory::SharedCache;
use module_cache_wasmer::WasmerEngine;
use wasmer::sys::{CpuFeature, Cranelift, EngineBuilder, NativeEngineExt, Target, Triple};

use crate::role;
use crate::support::{
    LARGE, NewEngine, SMALL, artifact, at, chain, compile_entry, cranelift, entry_in_file, key,
    letter, load, load_artifact, singlepass, trust, wasm,
};

for_each_compiler![
    what_is_loaded_from_a_file_runs_after_the_file_is_gone,
    what_is_loaded_from_memory_runs,
    no_file_stays_open,
    a_live_module_is_not_handed_to_another_engine_of_equal_id,
    what_is_no_artifact_is_an_error,
];

fn what_is_loaded_from_a_file_runs_after_the_file_is_gone(new: NewEngine) {
    let engine = new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("entry");
    for data_len in [SMALL, LARGE] {
        let entry = entry_in_file(&path, &compile_entry(&engine, &wasm(data_len)));
        let module = load(&engine, entry).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(at(&engine, &module, 99), letter(99));
        let last = u32::try_from(data_len - 1).unwrap();
        assert_eq!(at(&engine, &module, last), letter(last));
    }
}

fn what_is_loaded_from_memory_runs(new: NewEngine) {
    let engine = new();
    for data_len in [SMALL, LARGE] {
        let wasm = wasm(data_len);
        let bytes = compile_entry(&engine, &wasm);
        let entry = SealedEntry::open(bytes, &key(&engine, &wasm), &trust()).unwrap();
        let module = load(&engine, entry).unwrap();
        assert_eq!(at(&engine, &module, 7), letter(7));
    }
}

fn no_file_stays_open(new: NewEngine) {
    if !cfg!(target_os = "linux") {
        return; // Nowhere else can a test see it.
    }
    let engine = new();
    let dir = tempfile::tempdir().unwrap();
    for data_len in [SMALL, LARGE] {
        let path = dir.path().join(data_len.to_string());
        let entry = entry_in_file(&path, &compile_entry(&engine, &wasm(data_len)));
        let module = load(&engine, entry).unwrap();
        for fd in fs::read_dir("/proc/self/fd").unwrap() {
            let target = fs::read_link(fd.unwrap().path());
            assert!(target.ok().is_none_or(|target| target != path));
        }
        drop(module);
    }
}

fn a_live_module_is_not_handed_to_another_engine_of_equal_id(new: NewEngine) {
    let (one, other) = (new(), new());
    let wasm = wasm(SMALL);
    let hash = ModuleHash::of(&wasm);
    let cache = SharedCache::new();
    let module = one.compile(&wasm).unwrap();
    assert!(cache.save(hash, &one, &module).unwrap().is_stored());
    assert!(cache.load(hash, &other).unwrap().is_none());
    let loaded = cache.load(hash, &one.clone()).unwrap().unwrap();
    assert_eq!(at(&one, &loaded, 3), letter(3));
}

fn what_is_no_artifact_is_an_error(new: NewEngine) {
    let engine = new();
    let whole = compile_entry(&engine, &wasm(LARGE));
    for bytes in [
        vec![],
        b"no artifact".to_vec(),
        wasm(LARGE),
        b"wasmer-universal".to_vec(),
        artifact(&whole)[..artifact(&whole).len() / 2].to_vec(),
    ] {
        let error = load_artifact(&engine, Artifact::Bytes(bytes)).unwrap_err();
        let text = chain(&error);
        assert!(text.starts_with("cannot load the stored code: "), "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("short");
    fs::write(&path, vec![0; 70_000]).unwrap();
    let short = Artifact::File {
        file: File::open(&path).unwrap(),
        len: 70_001,
    };
    let error = load_artifact(&engine, short).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the stored code: ")
    );
}

#[cfg(target_os = "linux")]
#[test]
fn large_artifacts_are_mapped_and_small_ones_are_not() {
    let engine = cranelift();
    let dir = tempfile::tempdir().unwrap();
    for (data_len, mapped) in [(SMALL, false), (LARGE, true)] {
        let path = dir.path().join(data_len.to_string());
        let entry = entry_in_file(&path, &compile_entry(&engine, &wasm(data_len)));
        let module = load(&engine, entry).unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        assert_eq!(maps.contains(path.to_str().unwrap()), mapped);
        drop(module);
    }
}

#[test]
fn what_another_process_stored_is_loaded_here() {
    let wasm = wasm(LARGE);
    let engines = [("cranelift", cranelift()), ("singlepass", singlepass())];
    if let Some(folder) = role::role() {
        for (name, engine) in engines {
            fs::write(format!("{folder}/{name}"), compile_entry(&engine, &wasm)).unwrap();
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "load::what_another_process_stored_is_loaded_here",
        ])
        .env(role::ROLE, dir.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");

    for (name, engine) in engines {
        let path = dir.path().join(name);
        let bytes = fs::read(&path).unwrap();
        // Opening it under this process's key succeeds only if the ids are equal.
        SealedEntry::open(bytes.clone(), &key(&engine, &wasm), &trust()).unwrap();
        let module = load(&engine, entry_in_file(&path, &bytes)).unwrap();
        assert_eq!(at(&engine, &module, 42), letter(42));
    }
}

#[test]
fn a_headless_engine_loads_what_the_engine_of_its_id_stored() {
    let compiling = cranelift();
    let wasm = wasm(LARGE);
    let module = compiling.compile(&wasm).unwrap();
    let artifact = compiling.serialize(&module).unwrap().into_owned();

    let headless = wasmer::Engine::headless();
    // SAFETY: the id was computed in this process.
    let loading = unsafe { WasmerEngine::with_id(&headless, *key(&compiling, &wasm).engine()) };
    let module = load_artifact(&loading, Artifact::Bytes(artifact)).unwrap();
    assert_eq!(at(&loading, &module, 3), letter(3));
    let error = loading.compile(&wasm).unwrap_err();
    assert!(chain(&error).contains("No compiler"), "{}", chain(&error));
}

#[test]
fn code_for_a_cpu_with_more_features_is_an_error() {
    let entry = compile_entry(&cranelift(), &wasm(SMALL));
    let least = Target::new(Triple::host(), CpuFeature::SSE2.into());
    let engine = EngineBuilder::new(Cranelift::new()).set_target(Some(least));
    let engine = WasmerEngine::without_middleware(&engine.into()).unwrap();
    let error = load_artifact(&engine, Artifact::Bytes(artifact(&entry).to_vec())).unwrap_err();
    assert!(chain(&error).contains("CPU Features"), "{}", chain(&error));
}

#[test]
fn an_artifact_of_another_format_version_is_an_error() {
    let engine = cranelift();
    let entry = compile_entry(&engine, &wasm(SMALL));
    let mut artifact = artifact(&entry).to_vec();
    // The version follows the magic of the file, 16 bytes, and that of the metadata, 8 bytes.
    artifact[24] ^= 1;
    let error = load_artifact(&engine, Artifact::Bytes(artifact)).unwrap_err();
    assert!(
        chain(&error).contains("incompatible version"),
        "{}",
        chain(&error)
    );
}
