//! Any sequence of operations, restarts, deletions from outside and jumps of the clock, beside a model that
//! says what may be there.

#[path = "support/modified.rs"]
mod modified;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, wasm};

use crate::modified::set_modified;
use proptest::prelude::*;

const KEYS: u64 = 12;
const CAP: u64 = 40 * 4096;

#[derive(Debug, Clone)]
enum Step {
    Save(u64),
    Load(u64),
    Remove(u64),
    Prune {
        blocks: u64,
        days: Option<u64>,
    },
    Restart,
    /// Somebody deletes the file.
    Delete(u64),
    /// The entry looks as if it had been stored so many days from now, and its last use is forgotten.
    Shift(u64, i64),
    /// Every hint becomes noise: last uses and verifications of another time.
    Noise(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS).prop_map(Step::Save),
        4 => (0..KEYS).prop_map(Step::Load),
        2 => (0..KEYS).prop_map(Step::Remove),
        1 => (0..50_u64, proptest::option::of(0..60_u64))
            .prop_map(|(blocks, days)| Step::Prune { blocks, days }),
        1 => Just(Step::Restart),
        1 => (0..KEYS).prop_map(Step::Delete),
        2 => (0..KEYS, -100..100_i64).prop_map(|(key, days)| Step::Shift(key, days)),
        1 => any::<u8>().prop_map(Step::Noise),
    ]
}

struct World {
    keep: tempfile::TempDir,
    engine: TestEngine,
    cache: FileSystemCache,
    /// What was saved and neither removed nor deleted; the cache may have evicted it.
    possible: BTreeSet<u64>,
}

/// Of one block to nine.
fn module(key: u64) -> Vec<u8> {
    wasm(key, usize::try_from(500 + key * 3000).unwrap())
}

impl World {
    fn new() -> Self {
        let keep = tempfile::tempdir().unwrap();
        let cache = Self::open(&keep);
        Self {
            keep,
            engine: TestEngine::new("model"),
            cache,
            possible: BTreeSet::new(),
        }
    }

    fn open(keep: &tempfile::TempDir) -> FileSystemCache {
        FileSystemCache::builder(keep.path().join("cache"))
            .max_size(CAP)
            .open()
            .unwrap()
    }

    fn entry(&self, key: u64) -> PathBuf {
        let hash = ModuleHash::of(&module(key));
        self.cache
            .root()
            .join(format!("v1/{}/{hash}", self.engine.id()))
    }

    fn hints(&self) -> PathBuf {
        self.cache.root().join("v1/hints")
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Save(key) => {
                let compiled = self.engine.compile(&module(key)).unwrap();
                let hash = ModuleHash::of(&module(key));
                let _ = self.cache.save(hash, &self.engine, &compiled).unwrap();
                self.possible.insert(key);
                assert!(self.has(key), "what was just saved is there");
            }
            Step::Load(key) => {
                let hash = ModuleHash::of(&module(key));
                if let Some(found) = self.cache.load(hash, &self.engine).unwrap() {
                    assert_eq!(found.wasm(), module(key));
                }
            }
            Step::Remove(key) => {
                let there = self.has(key);
                let hash = ModuleHash::of(&module(key));
                let removed = ModuleCache::remove(&self.cache, hash, &self.engine).unwrap();
                assert_eq!(removed, there);
                self.possible.remove(&key);
            }
            Step::Prune { blocks, days } => {
                let options = PruneOptions {
                    max_size: Some(blocks * 4096),
                    max_age: days.map(|days| Duration::from_secs(3600 * 24 * days)),
                    ..PruneOptions::default()
                };
                let before = self.cache.usage().unwrap();
                let report = self.cache.prune(&options).unwrap();
                let after = self.cache.usage().unwrap();
                assert!(after.bytes <= blocks * 4096);
                assert_eq!(
                    (report.kept, report.kept_bytes),
                    (after.entries, after.bytes)
                );
                assert_eq!(before.bytes - after.bytes, report.removed_bytes);
            }
            Step::Restart => self.cache = Self::open(&self.keep),
            Step::Delete(key) => {
                let _ = fs::remove_file(self.entry(key));
                self.possible.remove(&key);
            }
            Step::Shift(key, days) => {
                if self.entry(key).exists() {
                    let shift = Duration::from_secs(3600 * 24 * days.unsigned_abs());
                    let now = SystemTime::now();
                    let time = if days < 0 { now - shift } else { now + shift };
                    set_modified(&self.entry(key), time);
                    let len = fs::metadata(self.hints()).unwrap().len();
                    fs::write(self.hints(), vec![0; usize::try_from(len).unwrap()]).unwrap();
                }
            }
            Step::Noise(byte) => {
                let len = fs::metadata(self.hints()).unwrap().len();
                fs::write(self.hints(), vec![byte; usize::try_from(len).unwrap()]).unwrap();
            }
        }
    }

    fn has(&self, key: u64) -> bool {
        let hash = ModuleHash::of(&module(key));
        ModuleCache::contains(&self.cache, hash, &self.engine).unwrap()
    }

    fn check(&self) {
        assert!(self.cache.usage().unwrap().bytes <= CAP);
        for key in 0..KEYS {
            assert!(
                !self.has(key) || self.possible.contains(&key),
                "module {key} came back"
            );
        }
        let stats = self.cache.stats();
        assert_eq!((stats.corrupt, stats.rejected, stats.errors), (0, 0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_folder_never_holds_what_the_model_rules_out(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
        // Everything that it says it has loads, and there is no fault.
        for key in 0..KEYS {
            let hash = ModuleHash::of(&module(key));
            let found = world.cache.load(hash, &world.engine).unwrap();
            assert_eq!(found.is_some(), world.has(key));
        }
        assert!(world.cache.verify(false, &|_| ()).unwrap().faults.is_empty());
    }
}
