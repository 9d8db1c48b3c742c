//! The memory of wasm files' hashes: it knows a file again, and never one that changed.

#![cfg(target_os = "linux")]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime};

use module_cache_core::{ModuleHash, SharedKey, Trust};
use module_cache_filesystem::FileSystemCache;
use tempfile::TempDir;

struct Scene {
    keep: TempDir,
    cache: FileSystemCache,
    wasm: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
        let wasm = keep.path().join("module.wasm");
        fs::write(&wasm, "wasm").unwrap();
        Self { keep, cache, wasm }
    }

    fn hash(&self) -> ModuleHash {
        self.cache.hash_of_file(&self.wasm).unwrap()
    }

    fn table(&self) -> PathBuf {
        self.keep.path().join("cache/v1/files")
    }

    /// Whether anything is remembered.
    fn is_blank(&self) -> bool {
        fs::read(self.table()).is_ok_and(|bytes| bytes.iter().all(|byte| *byte == 0))
    }

    /// Puts another hash where the file's is remembered, to tell what is looked up from what is computed.
    fn mark(&self) -> ModuleHash {
        let bytes = fs::read(self.table()).unwrap();
        let slot = bytes.iter().position(|byte| *byte != 0).unwrap() / 96 * 96;
        let mut sealed = bytes[slot..slot + 64].to_vec();
        sealed[32..].fill(7);
        let check = ModuleHash::of(&sealed);
        sealed.extend(check.as_bytes());
        let table = File::options().write(true).open(self.table()).unwrap();
        table.write_all_at(&sealed, slot as u64).unwrap();
        ModuleHash::from_bytes([7; 32])
    }
}

/// No program can set a file's time of change, so that it is old enough takes waiting.
fn let_it_age() {
    thread::sleep(Duration::from_millis(2100));
}

#[test]
fn a_settled_file_is_hashed_once_by_all_processes() {
    let scene = Scene::new();
    let_it_age();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
    let marked = scene.mark();
    assert_eq!(scene.hash(), marked, "it is looked up");
    let again = FileSystemCache::open(scene.cache.root()).unwrap();
    assert_eq!(again.hash_of_file(&scene.wasm).unwrap(), marked);
}

#[test]
fn a_file_that_just_changed_is_not_remembered() {
    let scene = Scene::new();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
    assert!(scene.is_blank());
    // Nor does it help to claim that it is old.
    let old = SystemTime::now() - Duration::from_secs(1000);
    let file = File::options().write(true).open(&scene.wasm).unwrap();
    file.set_times(FileTimes::new().set_modified(old)).unwrap();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
    assert!(scene.is_blank());
}

#[test]
fn a_file_that_changed_is_hashed_anew_whatever_its_times_pretend() {
    let scene = Scene::new();
    let_it_age();
    scene.hash();
    scene.mark();
    let modified = fs::metadata(&scene.wasm).unwrap().modified().unwrap();
    fs::write(&scene.wasm, "evil").unwrap();
    let file = File::options().write(true).open(&scene.wasm).unwrap();
    file.set_times(FileTimes::new().set_modified(modified))
        .unwrap();
    assert_eq!(scene.hash(), ModuleHash::of(b"evil"));

    let other = scene.keep.path().join("other.wasm");
    fs::write(&other, "more").unwrap();
    fs::rename(&other, &scene.wasm).unwrap();
    assert_eq!(scene.hash(), ModuleHash::of(b"more"));
}

#[test]
fn a_damaged_table_costs_a_hash() {
    let scene = Scene::new();
    let_it_age();
    scene.hash();
    scene.mark();
    let mut bytes = fs::read(scene.table()).unwrap();
    for byte in &mut bytes {
        *byte ^= u8::from(*byte != 0);
    }
    fs::write(scene.table(), bytes).unwrap();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
    fs::write(scene.table(), "short").unwrap();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
    fs::remove_file(scene.table()).unwrap();
    fs::create_dir(scene.table()).unwrap();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
}

#[test]
fn a_folder_with_a_key_remembers_nothing() {
    let scene = Scene::new();
    let trust = Trust::shared(SharedKey::from_bytes([1; 32]));
    let cache = FileSystemCache::builder(scene.keep.path().join("signed"))
        .trust(trust)
        .open()
        .unwrap();
    let_it_age();
    assert_eq!(
        cache.hash_of_file(&scene.wasm).unwrap(),
        ModuleHash::of(b"wasm")
    );
    assert!(!scene.keep.path().join("signed/v1/files").exists());
}

#[test]
fn what_is_no_file_is_an_error_or_is_read() {
    let scene = Scene::new();
    assert!(
        scene
            .cache
            .hash_of_file(scene.keep.path().join("none"))
            .is_err()
    );
    assert!(scene.cache.hash_of_file(scene.keep.path()).is_err());
    assert_eq!(
        scene.cache.hash_of_file("/dev/null").unwrap(),
        ModuleHash::of(b"")
    );
}

#[test]
fn nothing_is_remembered_of_a_file_on_a_tmpfs() {
    // It takes no note of what is written through a mapping.
    let mut scene = Scene::new();
    let memory = TempDir::new_in("/dev/shm").unwrap();
    scene.wasm = memory.path().join("module.wasm");
    fs::write(&scene.wasm, "wasm").unwrap();
    let_it_age();
    assert_eq!(scene.hash(), ModuleHash::of(b"wasm"));
    assert!(scene.is_blank());
}
