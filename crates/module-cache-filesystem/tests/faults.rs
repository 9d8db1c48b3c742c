//! When the system refuses: loads go on, the caller keeps its module, and what is stored stays.

#[cfg(unix)]
#[path = "support/role.rs"]
mod role;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::process::Command;
use std::time::{Duration, Instant};

use fs4::FileExt;
use module_cache_core::{
    CacheError, Compile, Engine, ModuleCache, ModuleHash, SaveOutcome, SkipReason,
};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, TestModule, wasm};

struct Folder {
    engine: TestEngine,
    cache: FileSystemCache,
    _keep: tempfile::TempDir,
}

impl Folder {
    /// With module 1 stored.
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
        let folder = Self {
            engine: TestEngine::new("faults"),
            cache,
            _keep: keep,
        };
        assert!(folder.save(1).unwrap().is_stored());
        folder
    }

    fn module(&self, n: u64) -> (ModuleHash, TestModule) {
        let wasm = wasm(n, 10_000);
        (ModuleHash::of(&wasm), self.engine.compile(&wasm).unwrap())
    }

    fn entry(&self, n: u64) -> PathBuf {
        let key = self.module(n).0;
        let engine = self
            .cache
            .root()
            .join("v1")
            .join(self.engine.id().to_string());
        engine.join(key.to_string())
    }

    fn save(&self, n: u64) -> Result<SaveOutcome, CacheError> {
        let (key, module) = self.module(n);
        self.cache.save(key, &self.engine, &module)
    }

    fn has(&self, n: u64) -> bool {
        self.cache
            .load(self.module(n).0, &self.engine)
            .unwrap()
            .is_some()
    }
}

#[test]
fn a_holder_of_the_ledger_that_hangs_costs_a_save_and_no_load() {
    let folder = Folder::new();
    let ledger = File::open(folder.cache.root().join("v1/ledger")).unwrap();
    FileExt::lock(&ledger).unwrap();

    let began = Instant::now();
    assert_eq!(
        folder.save(2).unwrap(),
        SaveOutcome::Skipped(SkipReason::Busy)
    );
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "it was not waited for"
    );
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "it was waited for without end"
    );
    assert!(folder.cache.prune(&PruneOptions::default()).is_err());
    let began = Instant::now();
    assert!(folder.has(1));
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "a load waited for the ledger"
    );

    FileExt::unlock(&ledger).unwrap();
    assert!(folder.save(2).unwrap().is_stored());
    assert!(folder.has(2));
}

/// Without the lock nobody knows whether it still is the damaged one.
#[test]
fn a_damaged_entry_is_a_miss_at_once_and_stays_while_the_ledger_is_held() {
    let folder = Folder::new();
    let entry = folder.entry(1);
    let bytes = fs::read(&entry).unwrap();
    fs::remove_file(&entry).unwrap();
    fs::write(&entry, &bytes[..bytes.len() - 1]).unwrap();

    let ledger = File::open(folder.cache.root().join("v1/ledger")).unwrap();
    FileExt::lock(&ledger).unwrap();
    let began = Instant::now();
    assert!(!folder.has(1));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(entry.exists());
    FileExt::unlock(&ledger).unwrap();
    assert!(!folder.has(1));
    assert!(!entry.exists());
}

#[cfg(unix)]
#[test]
fn without_free_descriptors_calls_fail_and_everything_is_there_afterwards() {
    let name = "without_free_descriptors_calls_fail_and_everything_is_there_afterwards";
    if role::role().is_none() {
        // In a process of its own: others would miss the descriptors.
        let status = Command::new("sh")
            .args(["-c", r#"ulimit -n 64 && exec "$0" --exact "$1""#])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .env(role::ROLE, "child")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let folder = Folder::new();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    let (key, module) = folder.module(1);
    let error = folder.cache.load(key, &folder.engine).unwrap_err();
    assert!(matches!(error, CacheError::Io { .. }), "{error:?}");
    let error = folder
        .cache
        .save(folder.module(2).0, &folder.engine, &module)
        .unwrap_err();
    assert!(matches!(error, CacheError::Io { .. }), "{error:?}");
    assert!(folder.cache.stats().errors >= 2);
    drop(taken);
    assert!(folder.has(1));
    assert!(folder.save(2).unwrap().is_stored());
    assert_eq!(
        fs::read_dir(folder.cache.root().join("v1/tmp"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_folder_of_which_parts_were_replaced_by_files_fails_cleanly() {
    let folder = Folder::new();
    let version = folder.cache.root().join("v1");
    let replace = |name: &str| {
        let path = version.join(name);
        let _ = fs::remove_dir_all(&path);
        fs::write(path, "in the way").unwrap();
    };
    replace("tmp");
    replace("locks");
    assert!(folder.save(2).is_err());
    assert!(
        ModuleCache::compile_permit(&folder.cache, folder.module(2).0, &folder.engine).is_err()
    );
    assert!(folder.has(1));
    assert_eq!(
        fs::read_to_string(version.join("tmp")).unwrap(),
        "in the way"
    );

    replace(&folder.engine.id().to_string());
    assert!(!folder.has(1));
    assert!(Path::new(&version.join(folder.engine.id().to_string())).is_file());
}
