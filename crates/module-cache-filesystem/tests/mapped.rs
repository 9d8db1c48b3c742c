//! Entries that a program maps, where that keeps others from removing and replacing them.

#![cfg(windows)]

use std::fs::{self, OpenOptions};
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use memmap2::Mmap;
use module_cache_core::{Compile, Engine, ModuleCache, ModuleHash};
use module_cache_filesystem::{FileSystemCache, PruneOptions};
use module_cache_testkit::{TestEngine, wasm};

/// As an engine maps it.
fn map(path: &Path) -> Mmap {
    const READ_AND_DELETE: u32 = 1 | 4;
    let mut options = OpenOptions::new();
    let file = options.read(true).share_mode(READ_AND_DELETE).open(path);
    // SAFETY: nobody writes to the file as long as it is shared so; the mapping keeps it open.
    unsafe { Mmap::map(&file.unwrap()) }.unwrap()
}

fn aside(cache: &FileSystemCache) -> usize {
    let aside = fs::read_dir(cache.root().join("v1/tmp")).unwrap();
    aside.count()
}

#[test]
fn an_entry_that_is_mapped_is_replaced_and_removed_and_its_file_goes_when_it_can() {
    let keep = tempfile::tempdir().unwrap();
    let cache = FileSystemCache::open(keep.path().join("cache")).unwrap();
    let engine = TestEngine::new("mapped");
    let module = engine.compile(&wasm(1, 300_000)).unwrap();
    let hash = ModuleHash::of(module.wasm());
    let path = cache.root().join(format!("v1/{}/{hash}", engine.id()));

    assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
    let first = map(&path);
    assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
    let second = map(&path);
    assert!(ModuleCache::remove(&cache, hash, &engine).unwrap());
    assert!(cache.load(hash, &engine).unwrap().is_none());
    assert_eq!(cache.usage().unwrap().bytes, 0);
    assert_eq!(first[..], second[..]);

    drop((first, second));
    cache.prune(&PruneOptions::default()).unwrap();
    assert_eq!(aside(&cache), 0);
    assert!(cache.save(hash, &engine, &module).unwrap().is_stored());
}
