//! The cache passes the suite, as a cache and as a store.

use std::path::Path;

use custom_backend::RedbCache;
use module_cache_core::{SigningKey, Trust};
use module_cache_testkit::{
    Capabilities, Fixture, entry_store_conformance, module_cache_conformance,
};

fn open(path: &Path) -> RedbCache {
    RedbCache::open(path, Trust::signed(SigningKey::from_bytes([7; 32]))).unwrap()
}

fn fixture() -> Fixture<RedbCache> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modules.redb");
    Fixture::new(open(&path), Capabilities::STORED)
        .reopened_by(move || open(&path))
        .keeping(folder)
}

module_cache_conformance!(cache, fixture);
entry_store_conformance!(store, fixture);
