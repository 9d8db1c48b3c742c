//! What an engine that accepts other ids costs a folder: a look-up for each, and none behind a hit.

use std::sync::atomic::{AtomicU64, Ordering};

use module_cache_core::{
    CacheError, Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash, SaveOutcome,
    SealedEntry, StoreCache,
};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::{TestEngine, wasm};

/// A folder that counts what is looked up in it.
#[derive(Debug)]
struct Counted(FileSystemCache, AtomicU64);

impl EntryStore for Counted {
    fn get(&self, key: &EntryKey) -> Result<Option<SealedEntry<'static>>, CacheError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.get(key)
    }

    fn put(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<SaveOutcome, CacheError> {
        self.0.put(key, entry)
    }

    fn exists(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.0.exists(key)
    }

    fn delete(&self, key: &EntryKey) -> Result<bool, CacheError> {
        self.0.delete(key)
    }
}

#[test]
fn ids_are_looked_up_one_after_the_other_up_to_the_first_hit() {
    let folder = tempfile::tempdir().unwrap();
    let folder = FileSystemCache::open(folder.path().join("cache")).unwrap();
    let (v3, v2) = (TestEngine::new("v3"), TestEngine::new("v2"));
    let native = TestEngine::accepting("native", &[&v3, &v2]);
    let wasm = wasm(1, 100_000);
    let hash = ModuleHash::of(&wasm);
    let look_ups = || {
        let cache = StoreCache(Counted(folder.clone(), AtomicU64::new(0)));
        let found = cache.find(hash, &native).unwrap();
        let id = found.map(|found| *found.module.code_id());
        (id, cache.0.1.into_inner())
    };
    assert_eq!(look_ups(), (None, 3));
    for (engine, count) in [(&v2, 3), (&v3, 2), (&native, 1)] {
        let module = engine.compile(&wasm).unwrap();
        assert!(folder.save(hash, engine, &module).unwrap().is_stored());
        assert_eq!(look_ups(), (Some(*engine.id()), count));
    }
}

#[test]
fn a_load_counts_once_however_many_ids_it_looks_up() {
    let folder = tempfile::tempdir().unwrap();
    let folder = FileSystemCache::open(folder.path().join("cache")).unwrap();
    let (v3, v2) = (TestEngine::new("v3"), TestEngine::new("v2"));
    let native = TestEngine::accepting("native", &[&v3, &v2]);
    let wasm = wasm(1, 100);
    let hash = ModuleHash::of(&wasm);
    assert!(folder.load(hash, &native).unwrap().is_none());
    let module = v2.compile(&wasm).unwrap();
    assert!(folder.save(hash, &v2, &module).unwrap().is_stored());
    assert!(folder.load(hash, &native).unwrap().is_some());
    let stats = folder.stats();
    assert_eq!((stats.hits, stats.misses), (1, 1));
}
