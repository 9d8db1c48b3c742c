//! What lies in an entry's place and is none, or none that may be used: a miss, counted, that the next save
//! replaces. The test engine panics when anything unproven reaches it.

use crate::operators;
use crate::scene::{Scene, builder, key_of};
use module_cache_core::format::FOOTER_LEN;
use module_cache_core::{
    ArtifactEngine, EngineId, EntryKey, EntryStore, ModuleCache, ModuleHash, SealedEntry, Trust,
};
use module_cache_filesystem::FileSystemCache;
use module_cache_remote::RemoteCache;
use module_cache_remote::opendal::{Operator, services};
use module_cache_testkit::{TestEngine, forge_signature};

/// A cache with one module in it, and the bytes that it is stored in.
struct Place {
    operator: Operator,
    cache: RemoteCache,
    scene: Scene,
    stored: Vec<u8>,
}

impl Place {
    fn new(size: usize) -> Self {
        let operator = Operator::new(services::Memory::default()).unwrap();
        let cache = builder(&operator).build();
        let scene = Scene::new(1, size);
        scene.store(&cache);
        let mut place = Self {
            operator,
            cache,
            scene,
            stored: Vec::new(),
        };
        place.stored = place.read();
        place
    }

    fn read(&self) -> Vec<u8> {
        let (operator, path) = (&self.operator, self.scene.path());
        block_on(async { operator.read(&path).await.unwrap().to_vec() })
    }

    fn write(&self, bytes: &[u8]) {
        let (operator, path, bytes) = (&self.operator, self.scene.path(), bytes.to_vec());
        block_on(async { drop(operator.write(&path, bytes).await.unwrap()) });
    }

    /// These bytes are a miss for a fresh cache, which counts them once as what they are and replaces them.
    #[track_caller]
    fn refuses(&self, bytes: &[u8], corrupt: bool) {
        self.write(bytes);
        let cache = builder(&self.operator).build();
        assert!(!self.scene.loads(&cache));
        let stats = cache.stats();
        assert_eq!(
            (stats.corrupt, stats.rejected, stats.misses, stats.errors),
            (u64::from(corrupt), u64::from(!corrupt), 1, 0)
        );
        assert!(self.read() == bytes, "it was touched");
        assert!(!cache.exists(&self.scene.key()).unwrap());

        self.scene.store(&cache);
        assert!(self.scene.loads(&cache));
        assert!(self.read() == self.stored, "it was not replaced");
    }
}

impl Place {
    /// The entry, as if nobody had signed it.
    fn unsigned(&self) -> SealedEntry<'static> {
        let (engine, module) = (&self.scene.engine, self.scene.module());
        let artifact = engine.serialize(&module).unwrap().into_owned();
        // SAFETY: the engine of the key has just made it.
        unsafe { SealedEntry::from_artifact(self.scene.key(), artifact) }
    }
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

#[test]
fn a_truncated_entry_is_a_miss_and_is_replaced() {
    let place = Place::new(1000);
    let len = place.stored.len();
    for cut in [0, 1, FOOTER_LEN - 1, FOOTER_LEN, len / 2, len - 1] {
        place.refuses(&place.stored[..cut], true);
    }
    // Cut off in front, where the footer stays whole.
    place.refuses(&place.stored[1..], true);
}

#[test]
fn a_changed_byte_is_a_miss_and_is_replaced() {
    // Larger than what one request brings.
    let place = Place::new(200_000);
    let len = place.stored.len();
    for at in [0, len / 2, len - FOOTER_LEN - 1, len - 1] {
        let mut changed = place.stored.clone();
        changed[at] ^= 1;
        place.refuses(&changed, true);
    }
    place.refuses(&vec![0; len], true);
    place.refuses(b"<html>please log in</html>", true);
}

#[test]
fn damaged_entries_that_open_the_breaker_are_replaced_by_the_saves_behind_them() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let scenes: Vec<_> = (0..6).map(|n| Scene::new(n, 200_000)).collect();
    for scene in &scenes {
        scene.store(&builder(&operator).build());
        let path = scene.path();
        let mut bytes = block_on(operator.read(&path)).unwrap().to_vec();
        bytes[100] ^= 1;
        block_on(operator.write(&path, bytes)).unwrap();
    }
    let cache = builder(&operator).build();
    for scene in &scenes {
        assert!(!scene.loads(&cache));
    }
    assert_eq!(cache.stats().corrupt, 3);
    assert_eq!(cache.remote_stats().outages, 1);
    for scene in &scenes {
        scene.store(&cache);
    }
    let other = builder(&operator).build();
    assert!(scenes.iter().all(|scene| scene.loads(&other)));
}

#[test]
fn an_entry_of_another_module_or_engine_in_its_place_is_a_miss_and_is_replaced() {
    let place = Place::new(1000);
    let other = Scene::new(2, 1000);
    other.store(&place.cache);
    let (operator, path) = (&place.operator, other.path());
    let replayed = block_on(async { operator.read(&path).await.unwrap().to_vec() });
    place.refuses(&replayed, false);

    let engine = EngineId::builder("other").build();
    // SAFETY: nothing of a test engine is executed.
    let entry = unsafe {
        SealedEntry::from_artifact(EntryKey::new(place.scene.hash, engine), &b"code"[..])
    };
    let mut foreign = Vec::new();
    entry
        .write_to(&Trust::shared(key_of(1)), &mut foreign)
        .unwrap();
    place.refuses(&foreign, false);
}

#[test]
fn an_entry_that_is_unsigned_or_signed_by_somebody_else_is_a_miss_and_is_replaced() {
    let place = Place::new(1000);
    // SAFETY: nothing of a test engine is executed.
    let unsigned = unsafe { Trust::unauthenticated() };
    for trust in [unsigned, Trust::shared(key_of(2))] {
        let theirs = place.unsigned().to_transport(&trust, &compress).unwrap();
        place.refuses(&theirs, false);
    }
}

#[test]
fn a_forged_entry_of_any_accepted_key_is_a_miss_and_is_replaced() {
    let place = Place::new(1000);
    let mut forged = place.stored.clone();
    forge_signature(&mut forged);
    place.refuses(&forged, true);

    // Under the key that is accepted and does not sign, too.
    place.write(&forged);
    let trust = Trust::shared(key_of(2)).accepting(key_of(1));
    let rotated = RemoteCache::new(place.operator.clone(), trust);
    assert!(!place.scene.loads(&rotated));
    assert_eq!(rotated.stats().corrupt, 1);
    assert!(!rotated.exists(&place.scene.key()).unwrap());
    place.scene.store(&rotated);
    assert!(place.scene.loads(&rotated));
}

#[test]
fn a_key_is_rotated_without_losing_what_the_old_one_signed() {
    let place = Place::new(1000);
    let rotated = RemoteCache::new(
        place.operator.clone(),
        Trust::shared(key_of(2)).accepting(key_of(1)),
    );
    assert!(place.scene.loads(&rotated));
    let newer = Scene::new(2, 1000);
    newer.store(&rotated);
    let after = RemoteCache::new(place.operator.clone(), Trust::shared(key_of(2)));
    assert!(newer.loads(&after));
    assert!(!place.scene.loads(&after));
}

#[test]
fn what_another_key_has_signed_is_uploaded_into_its_place_alone() {
    let old = Place::new(1000);
    let theirs = old.cache.try_get(&old.scene.key()).unwrap().unwrap();
    let elsewhere = Operator::new(services::Memory::default()).unwrap();
    let trust = Trust::shared(key_of(2)).accepting(key_of(1));
    let rotated = RemoteCache::new(elsewhere.clone(), trust);
    assert!(rotated.put_now(&theirs).unwrap().is_stored());
    assert!(block_on(elsewhere.exists(&old.scene.path())).unwrap());
    // The place of the new key is free for what it signs.
    old.scene.store(&rotated);
    let after = RemoteCache::new(elsewhere, Trust::shared(key_of(2)));
    assert!(old.scene.loads(&after));
}

#[test]
fn a_forged_entry_in_front_of_a_good_one_is_counted_and_replaced() {
    let place = Place::new(1000);
    let trust = || Trust::shared(key_of(2)).accepting(key_of(1));
    let rotated = || RemoteCache::new(place.operator.clone(), trust());
    let other = Operator::new(services::Memory::default()).unwrap();
    place.scene.store(&RemoteCache::new(other.clone(), trust()));
    let path = place
        .scene
        .path()
        .replace(&key_of(1).id().to_string(), &key_of(2).id().to_string());
    let mut forged = block_on(other.read(&path)).unwrap().to_vec();
    forge_signature(&mut forged);
    block_on(place.operator.write(&path, forged.clone())).unwrap();
    let cache = rotated();
    assert!(place.scene.loads(&cache));
    assert_eq!(cache.stats().corrupt, 1);
    place.scene.store(&cache);
    assert!(block_on(place.operator.read(&path)).unwrap().to_vec() != forged);
}

#[test]
fn a_signed_bomb_is_a_miss_and_is_replaced() {
    let place = Place::new(500_000);
    let entry = place.unsigned();
    let trust = Trust::shared(key_of(1));
    // 8 GiB of zeros, which whoever wrote it says are half a megabyte.
    let zeros = compress(&vec![0; 64 << 20]).unwrap().repeat(128);
    assert!(zeros.len() < 500_000);
    let bomb = entry.to_transport(&trust, &|_| Ok(zeros.clone())).unwrap();
    place.refuses(&bomb, true);
    let garbage = entry
        .to_transport(&trust, &|_| Ok(b"no frames".to_vec()))
        .unwrap();
    place.refuses(&garbage, true);
}

#[test]
fn an_entry_larger_than_accepted_is_neither_fetched_nor_stored() {
    let place = Place::new(200_000);
    let small = || builder(&place.operator).max_entry_size(100_000).build();
    let cache = small();
    assert!(!place.scene.loads(&cache));
    assert_eq!(cache.stats().rejected, 1);
    assert_eq!(cache.remote_stats().bytes_fetched, 0);
    let module = place.scene.module();
    let outcome = small().save(place.scene.hash, &place.scene.engine, &module);
    assert!(!outcome.unwrap().is_stored());
    assert!(place.read() == place.stored);
}

#[test]
fn what_is_listed_is_what_was_stored_and_can_be_fetched() {
    let place = Place::new(1000);
    let other = Scene::new(2, 1000);
    other.store(&place.cache);
    let engine = place.scene.key().engine().to_string();
    assert_eq!(place.cache.engines().unwrap(), [engine.as_str()]);
    let entries = |behind| {
        let listed = place.cache.list(&engine, behind).unwrap();
        listed.map(Result::unwrap).collect::<Vec<_>>()
    };
    let mut listed = entries(None);
    assert!(listed.is_sorted_by_key(|entry| *entry.hash.as_bytes()));
    assert_eq!(entries(Some(listed[0].hash)), [listed[1].clone()]);
    assert_eq!(entries(Some(listed[1].hash)), []);
    listed.sort_by_key(|entry| entry.hash != place.scene.hash);
    let modules: Vec<ModuleHash> = listed.iter().map(|entry| entry.hash).collect();
    assert_eq!(modules, [place.scene.hash, other.hash]);
    assert_eq!(listed[0].bytes, place.stored.len() as u64);
    let folder = tempfile::tempdir().unwrap();
    let to = FileSystemCache::open(folder.path().join("cache")).unwrap();
    let promoted = |listed| place.cache.promote_listed(listed, &to).unwrap();
    assert!(promoted(&listed[0]).unwrap().outcome.unwrap().is_stored());
    assert!(to.get(&place.scene.key()).unwrap().is_some());

    // An entry under a name that is not its own is none.
    let (operator, path) = (&place.operator, other.path());
    block_on(async { drop(operator.write(&path, place.stored.clone()).await.unwrap()) });
    assert!(promoted(&listed[1]).is_none());
    place.write(b"");
    assert!(promoted(&listed[0]).is_none());
}

#[test]
fn over_http_an_index_tells_what_there_is_and_a_wrong_one_costs_nothing_but_misses() {
    let (operator, uri) = operators::s3_and_http();
    let filled = builder(&operator).build();
    let scenes: Vec<_> = (0..3).map(|n| Scene::new(n, 1000)).collect();
    for scene in &scenes {
        scene.store(&filled);
    }
    let over_http = || {
        let options = RemoteCache::from_uri(&uri, Trust::shared(key_of(1)));
        options.unwrap().build()
    };
    let error = over_http().engines().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("push --index"), "{cause}");

    // Who does not write writes no index either.
    assert!(
        builder(&operator)
            .read_only()
            .build()
            .write_index()
            .is_err()
    );
    assert!(over_http().write_index().is_err());
    assert!(over_http().engines().is_err());
    assert_eq!(filled.write_index().unwrap(), 3);
    let engine = scenes[0].key().engine().to_string();
    assert_eq!(over_http().engines().unwrap(), [engine.as_str()]);
    let listed = |behind| {
        let listed = over_http().list(&engine, behind).unwrap();
        listed.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(listed(None), {
        let listed = filled.list(&engine, None).unwrap();
        listed.collect::<Result<Vec<_>, _>>().unwrap()
    });
    assert_eq!(listed(Some(listed(None)[0].hash)), listed(None)[1..]);
    let folder = tempfile::tempdir().unwrap();
    let to = FileSystemCache::open(folder.path().join("cache")).unwrap();
    for entry in listed(None) {
        let promoted = over_http().promote_listed(&entry, &to).unwrap().unwrap();
        assert!(promoted.outcome.unwrap().is_stored());
    }

    // One that was torn, or written by somebody else.
    let absent = Scene::new(9, 10).hash;
    let path = format!("v1/{}/index", key_of(1).id());
    let write = |text: String| {
        block_on(async { drop(operator.write(&path, text).await.unwrap()) });
    };
    write("<html>please log in</html>".into());
    let error = over_http().engines().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("damaged or incomplete"), "{cause}");
    write(format!(
        "module-cache index 1\n../../x/{absent} 1\n/{absent} 1\n{engine}/{absent} 99\nentries: 3\n"
    ));
    assert_eq!(over_http().engines().unwrap(), [engine.as_str()]);
    let [entry] = &listed(None)[..] else {
        panic!("one line names an entry");
    };
    assert_eq!(entry.hash, absent);
    assert!(over_http().promote_listed(entry, &to).unwrap().is_none());
}

#[test]
fn of_two_keys_a_list_has_each_entry_once_and_goes_on_where_it_stopped() {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let both = || Trust::shared(key_of(2)).accepting(key_of(1));
    let cache = RemoteCache::new(operator.clone(), both());
    let scenes: Vec<_> = (0..12).map(|n| Scene::new(n, 100)).collect();
    for (n, scene) in (0_u8..).zip(&scenes) {
        scene.store(&RemoteCache::new(
            operator.clone(),
            Trust::shared(key_of(1 + n % 2)),
        ));
    }
    scenes[0].store(&RemoteCache::new(operator, Trust::shared(key_of(2))));
    let engine = scenes[0].key().engine().to_string();
    let (mut seen, mut behind) = (Vec::new(), None);
    loop {
        let page = cache.list(&engine, behind).unwrap().take(5);
        let page: Vec<_> = page.map(|entry| entry.unwrap().hash).collect();
        let Some(last) = page.last() else {
            break;
        };
        behind = Some(*last);
        seen.extend(page);
    }
    let mut expected: Vec<_> = scenes.iter().map(|scene| scene.hash).collect();
    expected.sort_unstable_by_key(|hash| *hash.as_bytes());
    assert_eq!(seen, expected);
}

#[test]
fn an_entry_put_and_waited_for_says_what_came_of_it() {
    let (from, to) = (Place::new(1000), Place::new(1000));
    let entry = from.cache.try_get(&from.scene.key()).unwrap().unwrap();
    assert!(
        !to.cache.put_now(&entry).unwrap().is_stored(),
        "it is there"
    );
    ModuleCache::remove(&to.cache, from.scene.hash, &from.scene.engine).unwrap();
    assert!(to.cache.put_now(&entry).unwrap().is_stored());
    assert!(to.read() == from.stored);

    // Looked at is the end of what is there, and its length.
    to.write(&from.stored[1..]);
    assert!(to.cache.put_now(&entry).unwrap().is_stored());
    let mut changed = from.stored.clone();
    changed[100] ^= 1;
    to.write(&changed);
    assert!(!to.cache.put_now(&entry).unwrap().is_stored());
}

#[test]
fn an_entry_under_another_key_is_not_stored() {
    let place = Place::new(1000);
    let entry = place.cache.try_get(&place.scene.key()).unwrap().unwrap();
    let other = Scene::new(2, 1000).key();
    assert!(place.cache.put(&other, &entry).is_err());
}

#[test]
fn an_entry_that_its_engine_refuses_is_counted() {
    let place = Place::new(1000);
    let engine = place.scene.engine.same_id();
    engine.reject_artifacts(true);
    let loaded = ModuleCache::<TestEngine>::load(&place.cache, place.scene.hash, &engine);
    assert!(loaded.unwrap().is_none());
    assert_eq!(place.cache.stats().rejected, 1);
    assert!(place.read() == place.stored);
}

/// As the cache compresses, in one frame.
fn compress(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(bytes, 3)
}
