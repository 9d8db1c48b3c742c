//! What the suite cannot test: entries that were damaged, or sealed with a key that is not accepted.

use std::path::Path;

use custom_backend::RedbStore;
use module_cache_core::{
    Compile, Engine, EntryKey, ModuleCache, ModuleHash, SharedKey, StoreCache, Trust,
};
use module_cache_testkit::{TestEngine, wasm};
use redb::{Database, ReadableTable, TableDefinition};

const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("entries");

type Cache = StoreCache<RedbStore>;

fn open(path: &Path, signing_key: u8) -> Cache {
    let trust = Trust::shared(SharedKey::from_bytes([signing_key; 32]));
    StoreCache(RedbStore::open(path, trust).unwrap())
}

/// A saved module, and what is asked for it by.
fn saved(cache: &Cache) -> (ModuleHash, TestEngine) {
    let (engine, wasm) = (TestEngine::new("test"), wasm(1, 1000));
    let key = ModuleHash::of(&wasm);
    let module = engine.compile(&wasm).unwrap();
    assert!(cache.save(key, &engine, &module).unwrap().is_stored());
    (key, engine)
}

/// Flips a bit of the artifact, as somebody with access to the file could.
fn damage(path: &Path, key: &EntryKey) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(TABLE).unwrap();
        let name = key.to_string();
        let mut stored = table.get(name.as_str()).unwrap().unwrap().value().to_vec();
        stored[10] ^= 1;
        table.insert(name.as_str(), stored.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_damaged_entry_is_a_miss_until_it_is_saved_again() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("modules.redb");
    let (key, engine) = saved(&open(&path, 1));
    damage(&path, &EntryKey::new(key, *engine.id()));
    let cache = open(&path, 1);
    assert!(cache.load(key, &engine).unwrap().is_none());
    assert_eq!(cache.0.unusable(), 1);

    saved(&cache);
    assert!(cache.load(key, &engine).unwrap().is_some());
}

#[test]
fn an_entry_of_another_signer_is_a_miss_that_stays_and_can_be_replaced() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("modules.redb");
    let (mine, theirs) = (open(&path, 1), open(&path, 2));
    let (key, engine) = saved(&theirs);
    assert!(mine.load(key, &engine).unwrap().is_none());
    assert_eq!(mine.0.unusable(), 1);
    assert!(theirs.load(key, &engine).unwrap().is_some());

    saved(&mine);
    assert!(mine.load(key, &engine).unwrap().is_some());
}

#[test]
fn what_is_no_database_is_an_error() {
    let keep = tempfile::tempdir().unwrap();
    let path = keep.path().join("modules.redb");
    std::fs::write(&path, "not a database, and long enough to be looked at").unwrap();
    let trust = Trust::shared(SharedKey::from_bytes([1; 32]));
    let error = RedbStore::open(&path, trust).unwrap_err();
    assert_eq!(error.to_string(), "cannot use the database in redb");
}
