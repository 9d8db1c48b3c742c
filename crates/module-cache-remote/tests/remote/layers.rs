//! Memory over a directory over a remote storage: each byte comes once over the network.

use std::thread;
use std::time::{Duration, Instant};

use crate::operators;
use crate::proxy::{Fault, Proxy};
use crate::scene::{Scene, builder, eventually, key_of};
use crate::servers;
use module_cache_core::{Compile, Engine, EntryKey, EntryStore, ModuleCache, Trust};
use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_memory::SharedCache;
use module_cache_remote::RemoteCacheBuilder;
use module_cache_remote::opendal::{Operator, services};
use module_cache_testkit::{TestEngine, wasm};

#[test]
fn an_entry_comes_once_over_the_network_and_is_mapped_from_disk_ever_after() {
    let proxy = Proxy::before(servers::s3_address());
    let operator = operators::s3_at(proxy.address, &servers::prefix());
    let scene = Scene::new(1, 10_000_000);
    scene.store(&builder(&operator).build());
    let folder = tempfile::tempdir().unwrap();
    let disk = || FileSystemCache::open(folder.path().join("cache")).unwrap();
    let layers = || {
        SharedCache::<TestEngine>::new()
            .with_fallback(disk())
            .with_fallback(builder(&operator).build())
    };

    let before = proxy.answered_bytes();
    let cache = layers();
    assert!(scene.loads(&cache));
    let fetched = cache.fallback().remote_stats().bytes_fetched;
    let answered = proxy.answered_bytes() - before;
    // The wasm of a test engine does not compress.
    assert!(fetched > 10_000_000);
    assert!(
        (fetched..fetched + 100_000).contains(&answered),
        "{answered} bytes came for an entry of {fetched}"
    );

    // Alive in memory, then on disk for another process.
    let serialized = scene.engine.serializes();
    proxy.set(Some(Fault::Closed));
    assert!(scene.loads(&cache));
    let again = layers();
    assert!(scene.loads(&again));
    assert!(scene.loads(&again));
    assert_eq!(again.fallback().remote_stats().bytes_fetched, 0);
    assert_eq!(proxy.answered_bytes() - before, answered);
    assert_eq!(
        scene.engine.serializes(),
        serialized,
        "bytes moved up, not modules"
    );

    // What lies there is the folder's own kind of entry: not compressed, and not signed.
    let entry = disk()
        .get(&EntryKey::new(scene.hash, *scene.engine.id()))
        .unwrap()
        .unwrap();
    assert!(matches!(
        entry.into_artifact().unwrap(),
        module_cache_core::Artifact::File { .. }
    ));
}

#[test]
fn a_save_goes_to_all_layers_and_a_broken_storage_costs_no_load() {
    let proxy = Proxy::before(servers::s3_address());
    let operator = operators::s3_at(proxy.address, &servers::prefix());
    let folder = tempfile::tempdir().unwrap();
    let cache = SharedCache::<TestEngine>::new()
        .with_fallback(FileSystemCache::open(folder.path().join("cache")).unwrap())
        .with_fallback(builder(&operator).build());
    let scene = Scene::new(1, 1000);
    assert!(!scene.loads(&cache));
    assert!(
        cache
            .save(scene.hash, &scene.engine, &scene.module())
            .unwrap()
            .is_stored()
    );
    ModuleCache::<TestEngine>::flush(&cache).unwrap();
    assert!(scene.loads(&builder(&operator).build()));

    proxy.set(Some(Fault::Closed));
    let other = Scene::new(2, 1000);
    assert!(!other.loads(&cache));
    let saved = cache.save(other.hash, &other.engine, &other.module());
    assert!(saved.unwrap().is_stored(), "the upper layers have it");
    assert!(other.loads(&cache));
}

#[test]
fn an_entry_that_the_folder_may_not_keep_is_fetched_once_and_removes_nothing() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let (kept, scene) = (Scene::new(1, 1_000_000), Scene::new(2, 1_000_000));
    scene.store(&builder(&operator).build());
    let folder = tempfile::tempdir().unwrap();
    let disk = FileSystemCache::builder(folder.path().join("cache"))
        .trust(Trust::shared(key_of(2)))
        .max_size(1_100_000)
        .open()
        .unwrap();
    let saved = disk.save(kept.hash, &kept.engine, &kept.module()).unwrap();
    assert!(saved.is_stored());
    let cache = disk.with_fallback(builder(&operator).build());
    assert!(scene.loads(&cache));
    let fetched = cache.fallback().remote_stats().bytes_fetched;
    assert!(fetched < 1_100_000, "{fetched}");
    assert!(kept.loads(cache.primary()) && !scene.loads(cache.primary()));
}

#[test]
fn where_each_has_a_key_of_its_own_a_save_goes_to_both() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let disk = FileSystemCache::builder(folder.path().join("cache"));
    let disk = disk.trust(Trust::shared(key_of(2))).open().unwrap();
    let cache = disk.with_fallback(builder(&operator).build());
    let scene = Scene::new(1, 1000);
    let saved = cache.save(scene.hash, &scene.engine, &scene.module());
    assert!(saved.unwrap().is_stored());
    cache.fallback().sync().unwrap();
    assert!(scene.loads(cache.primary()) && scene.loads(&builder(&operator).build()));
}

#[test]
fn what_a_storage_has_lost_is_uploaded_again_from_the_folder() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let disk = || FileSystemCache::open(folder.path().join("cache")).unwrap();
    let often = Duration::from_millis(100);
    let (first, second) = (Scene::new(1, 1000), Scene::new(2, 1000));
    let filled = disk().with_fallback(builder(&operator).build());
    for scene in [&first, &second] {
        let saved = filled.save(scene.hash, &scene.engine, &scene.module());
        assert!(saved.unwrap().is_stored());
    }
    ModuleCache::<TestEngine>::flush(&filled).unwrap();
    let is_there = |scene: &Scene| {
        let remote = builder(&operator).build();
        remote.exists(&scene.key()).unwrap()
    };
    for scene in [&first, &second] {
        let remote = builder(&operator).build();
        assert!(remote.delete(&scene.key()).unwrap());
    }
    let layers = |options: RemoteCacheBuilder| {
        SharedCache::<TestEngine>::new()
            .with_fallback(disk())
            .with_fallback(options.build())
    };

    // A process that is over at once asks nothing, and neither does one that is told not to.
    for options in [
        builder(&operator),
        builder(&operator).backfill(None),
        builder(&operator).backfill(Some(often)).read_only(),
    ] {
        let cache = layers(options);
        assert!(first.loads(&cache) && second.loads(&cache));
        thread::sleep(often * 5);
        drop(cache);
        assert!(!is_there(&first) && !is_there(&second));
    }

    // One load of each is enough: from then on they are in memory.
    let cache = layers(builder(&operator).backfill(Some(often)));
    assert!(first.loads(&cache) && second.loads(&cache));
    eventually("both are there again", || {
        is_there(&first) && is_there(&second)
    });
}

#[test]
fn a_damaged_entry_of_the_storage_is_not_the_folders_error() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let scene = Scene::new(1, 3_000_000);
    scene.store(&builder(&operator).build());
    damage(&operator, &scene.path(), 2_000_000);
    let folder = tempfile::tempdir().unwrap();
    let disk = FileSystemCache::open(folder.path().join("cache")).unwrap();
    let cache = disk.with_fallback(builder(&operator).build());
    assert!(!scene.loads(&cache));
    assert_eq!(cache.primary().stats().errors, 0);
    assert_eq!(cache.fallback().stats().corrupt, 1);
}

#[test]
fn accepted_ids_are_asked_for_at_once_and_what_is_found_lies_under_its_own() {
    let late = Duration::from_millis(300);
    let proxy = Proxy::before(servers::s3_address());
    let operator = operators::s3_at(proxy.address, &servers::prefix());
    let scene = Scene::new(1, 1000);
    scene.store(&builder(&operator).build());
    let others = ["first", "second", "third"].map(TestEngine::new);
    let [first, second, third] = &others;
    let host = TestEngine::accepting("host", &[first, second, &scene.engine, third]);
    let stranger = TestEngine::accepting("stranger", &[first, second, third]);
    let folder = tempfile::tempdir().unwrap();
    let disk = FileSystemCache::open(folder.path().join("cache")).unwrap();
    let cache = (&disk).with_fallback(builder(&operator).build());
    // Connections are there.
    assert!(cache.load(scene.hash, &stranger).unwrap().is_none());

    proxy.set(Some(Fault::Delayed(late)));
    let (requests, begun) = (proxy.requests(), Instant::now());
    assert!(cache.load(scene.hash, &stranger).unwrap().is_none());
    let took = begun.elapsed();
    assert!(
        (late..late * 3).contains(&took),
        "four requests took {took:?}"
    );
    assert_eq!(proxy.requests() - requests, 4);

    let found = cache.find(scene.hash, &host).unwrap().unwrap();
    assert_eq!(found.accepted_id.as_ref(), Some(scene.engine.id()));
    let entries: Vec<_> = disk.list().unwrap();
    let engines: Vec<_> = entries.iter().map(|entry| &entry.engine).collect();
    assert_eq!(engines, [&scene.engine.id().to_string()]);

    // From now on, from the folder.
    proxy.set(Some(Fault::Closed));
    let found = cache.find(scene.hash, &host).unwrap().unwrap();
    assert_eq!(found.accepted_id.as_ref(), Some(scene.engine.id()));
    assert_eq!(cache.fallback().stats().errors, 0);
}

#[test]
fn a_damaged_entry_does_not_hide_that_of_another_accepted_id() {
    for through_a_folder in [false, true] {
        let operator = Operator::new(services::Memory::default()).unwrap();
        let storage = builder(&operator).build();
        let scene = Scene::new(1, 3_000_000);
        let second = TestEngine::new("second");
        let host = TestEngine::accepting("host", &[&scene.engine, &second]);
        scene.store(&storage);
        damage(&operator, &scene.path(), 2_000_000);
        let module = second.compile(&wasm(1, 3_000_000)).unwrap();
        assert!(storage.save(scene.hash, &second, &module).is_ok());
        ModuleCache::<TestEngine>::flush(&storage).unwrap();

        let cache = builder(&operator).build();
        let found = if through_a_folder {
            let folder = tempfile::tempdir().unwrap();
            let disk = FileSystemCache::open(folder.path().join("cache")).unwrap();
            disk.with_fallback(cache).find(scene.hash, &host)
        } else {
            cache.find(scene.hash, &host)
        };
        let found = found.unwrap().unwrap();
        assert_eq!(found.accepted_id.as_ref(), Some(second.id()));
    }
}

/// Flips a bit of an object.
fn damage(operator: &Operator, path: &str, at: usize) {
    let damage = async {
        let mut bytes = operator.read(path).await.unwrap().to_vec();
        bytes[at] ^= 1;
        operator.write(path, bytes).await.unwrap();
    };
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(damage);
}
