//! Cache folders with many entries.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, TestModule, wasm};
use tempfile::TempDir;

use crate::disk;

/// A folder with so many entries, of which the first is real and the others only look like it.
pub struct Folder {
    keep: TempDir,
    engine: TestEngine,
    /// Of the entry that is real.
    key: ModuleHash,
    entries: u64,
}

impl Folder {
    /// A new one.
    ///
    /// # Panics
    ///
    /// When the target folder cannot be written to.
    pub fn new(entries: u64) -> Self {
        let engine = TestEngine::new("growth");
        let (key, module) = compile(&engine, 0);
        let folder = Self {
            keep: disk::scratch_folder(),
            engine,
            key,
            entries,
        };
        let saved = folder.open().save(key, &folder.engine, &module);
        assert!(saved.expect("the folder is writable").is_stored());
        folder.fill();
        // The ledger is counted now, and not when the first save is measured.
        let counted = folder.open().prune(&PruneOptions::default());
        counted.expect("the folder can be counted");
        folder
    }

    /// What it is called in tables: the smallest is the baseline.
    pub fn name(&self) -> String {
        let begin = if self.entries == 10 {
            "baseline: a folder of "
        } else {
            "module-cache, "
        };
        format!("{begin}{} entries", self.entries)
    }

    /// Opens it.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn open(&self) -> FileSystemCache {
        let opened = FileSystemCache::open(self.keep.path().join("cache"));
        opened.expect("the folder is ours")
    }

    /// Loads the entry that is real.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn load(&self, cache: &FileSystemCache) -> TestModule {
        let loaded = cache.load(self.key, &self.engine);
        loaded
            .expect("the folder can be read")
            .expect("it is there")
    }

    /// Times a save of one more, which it removes again.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn time_save(&self, cache: &FileSystemCache) -> Duration {
        let (key, module) = compile(&self.engine, 1_000_000);
        let began = Instant::now();
        let saved = cache.save(key, &self.engine, &module);
        let took = began.elapsed();
        assert!(saved.expect("the folder is writable").is_stored());
        let removed = ModuleCache::remove(cache, key, &self.engine);
        assert!(removed.expect("the folder is writable"));
        took
    }

    /// Times a prune that removes all but one, and puts them back.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn time_prune(&self, cache: &FileSystemCache) -> Duration {
        let all_but_one = PruneOptions {
            max_size: Some(4096),
            ..PruneOptions::default()
        };
        let began = Instant::now();
        let report = cache.prune(&all_but_one);
        let took = began.elapsed();
        report.expect("the folder is writable");
        self.fill();
        took
    }

    fn fill(&self) {
        for n in 1..self.entries {
            let path = self.entry(n);
            if !path.exists() {
                fs::write(path, [0; 300]).expect("the folder is writable");
            }
        }
    }

    fn entry(&self, n: u64) -> PathBuf {
        let name = ModuleHash::of(&n.to_le_bytes());
        let folder = self.keep.path().join("cache/v1");
        folder.join(format!("{}/{name}", self.engine.id()))
    }
}

fn compile(engine: &TestEngine, n: u64) -> (ModuleHash, TestModule) {
    let wasm = wasm(n, 1000);
    let module = engine.compile(&wasm);
    (ModuleHash::of(&wasm), module.expect("it looks like wasm"))
}
