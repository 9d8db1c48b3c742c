//! The store passes the suite, and so does the cache over it.

use std::path::Path;

use custom_backend::RedbStore;
use module_cache_core::{SharedKey, StoreCache, Trust};
use module_cache_testkit::{
    Capabilities, Fixture, entry_store_conformance, module_cache_conformance,
};

fn open(path: &Path) -> RedbStore {
    RedbStore::open(path, Trust::shared(SharedKey::from_bytes([7; 32]))).unwrap()
}

fn fixture() -> Fixture<RedbStore> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("modules.redb");
    Fixture::new(open(&path), Capabilities::STORED)
        .reopened_by(move || open(&path))
        .keeping(folder)
}

entry_store_conformance!(store, fixture);
module_cache_conformance!(cache, || fixture().map(StoreCache));
