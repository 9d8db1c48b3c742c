//! What a [`ModuleCache`] must do. Each public function is one case, and is named in the list behind
//! [`module_cache_conformance!`](crate::module_cache_conformance).

#![expect(
    clippy::needless_pass_by_value,
    reason = "a case owns its fixture, whether it takes it apart or not"
)]

use std::sync::Arc;
use std::thread;

use module_cache_core::{
    ArtifactEngine, CacheError, Compile, Engine, ModuleCache, ModuleHash, SaveOutcome,
};

use super::permit::{self, Ask};
use super::sample::{Sample, assert_stored};
use crate::in_time::in_time;
use crate::{Fixture, TestEngine, TestModule};

pub fn an_empty_cache_misses<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.assert_misses(cache, &engine);
    assert!(sample.load_resident(cache, &engine).is_none());
    assert!(!cache.contains(sample.key, &engine).unwrap());
    assert!(!cache.remove(sample.key, &engine).unwrap());
}

pub fn what_was_saved_loads<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.save_new(cache, &engine);
    sample.assert_loads(cache, &engine);
    sample.assert_loads(cache, &engine.clone());
}

pub fn another_key_misses<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine) = (&fixture.subject, engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    sample.save(cache, &engine);
    other.assert_misses(cache, &engine);
    assert!(other.load_resident(cache, &engine).is_none());
    assert!(!cache.remove(other.key, &engine).unwrap());
    sample.assert_loads(cache, &engine);
}

pub fn each_engine_id_has_its_own_module<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, sample) = (&fixture.subject, Sample::small(1));
    let (engine, other) = (engine(), other_engine());
    sample.save(cache, &engine);
    sample.assert_misses(cache, &other);
    assert!(sample.load_resident(cache, &other).is_none());
    assert!(!cache.contains(sample.key, &other).unwrap());
    assert!(
        !cache.remove(sample.key, &other).unwrap(),
        "it removed another engine's module"
    );

    sample.save_new(cache, &other);
    sample.assert_loads(cache, &engine);
    sample.assert_loads(cache, &other);

    assert!(cache.remove(sample.key, &engine).unwrap());
    sample.assert_misses(cache, &engine);
    sample.assert_loads(cache, &other);
}

pub fn code_of_accepted_ids_loads_in_their_order_and_is_named<C: ModuleCache<TestEngine>>(
    fixture: Fixture<C>,
) {
    let (cache, sample) = (&fixture.subject, Sample::small(1));
    let (engine, other) = (engine(), other_engine());
    let host = TestEngine::accepting("host", &[&engine, &other]);
    let assert_finds = |expected: Option<&TestEngine>| {
        // Of its own, so that no live module answers.
        let host = host.same_id();
        let expected = expected.filter(|_| fixture.capabilities.shared_between_instances);
        assert_eq!(
            cache.contains(sample.key, &host).unwrap(),
            expected.is_some()
        );
        let found = cache.find(sample.key, &host).unwrap();
        let id = found.map(|found| {
            assert!(found.module.wasm() == sample.wasm, "another module");
            assert_eq!(found.module.instance(), host.instance().id());
            *found.module.code_id()
        });
        assert_eq!(id, expected.map(|engine| *engine.id()));
        let found = cache.find(sample.key, &host.same_id()).unwrap();
        let accepted = expected.map(Engine::id).filter(|id| *id != host.id());
        assert_eq!(
            found.and_then(|found| found.accepted_id),
            accepted.copied(),
            "the wrong id is named"
        );
        sample.load(cache, &host.same_id());
    };
    assert_finds(None);
    sample.save(cache, &other);
    assert_finds(Some(&other));
    sample.save(cache, &engine);
    assert_finds(Some(&engine));
    assert!(
        !cache.remove(sample.key, &host.same_id()).unwrap(),
        "it removed another engine's module"
    );
    sample.save(cache, &host);
    assert_finds(Some(&host));
}

pub fn code_of_an_accepted_id_is_not_stored_under_the_own<C: ModuleCache<TestEngine>>(
    fixture: Fixture<C>,
) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    let host = TestEngine::accepting("host", &[&engine]);
    sample.save(cache, &engine);
    if let Some(module) = sample.load(cache, &host) {
        // Refused or kept alive, that is not what counts.
        let _ = save_and_flush(cache, sample.key, &host, &module);
    }
    sample.assert_misses(cache, &TestEngine::accepting("host", &[]));
}

pub fn a_live_module_stays_with_its_engine_instance<C: ModuleCache<TestEngine>>(
    fixture: Fixture<C>,
) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    let twin = engine.same_id();
    sample.save(cache, &engine);
    // `load` and `load_resident` of the sample check whose the module is.
    assert!(sample.load_resident(cache, &twin).is_none());
    let shared = fixture.capabilities.shared_between_instances;
    assert_eq!(sample.load(cache, &twin).is_some(), shared);
    assert_eq!(cache.contains(sample.key, &twin).unwrap(), shared);
    sample.load_resident(cache, &twin);

    sample.save(cache, &twin);
    sample.assert_loads(cache, &twin);
    sample.assert_loads(cache, &engine);
}

pub fn saving_twice_is_harmless<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.save(cache, &engine);
    for _ in 0..2 {
        sample.save(cache, &engine);
        sample.assert_loads(cache, &engine);
    }
    // There is one of it, however often it was saved.
    assert!(cache.remove(sample.key, &engine).unwrap());
    sample.assert_misses(cache, &engine);
}

pub fn a_removed_module_is_forgotten<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine) = (&fixture.subject, engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    sample.save(cache, &engine);
    other.save(cache, &engine);
    assert!(cache.remove(sample.key, &engine).unwrap());
    sample.assert_misses(cache, &engine);
    assert!(!cache.remove(sample.key, &engine).unwrap());
    other.assert_loads(cache, &engine);

    sample.save_new(cache, &engine);
    sample.assert_loads(cache, &engine);
}

pub fn a_module_handed_out_survives_its_removal<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.save(cache, &engine);
    let module = sample.assert_loads(cache, &engine);
    cache.remove(sample.key, &engine).unwrap();
    assert!(module.wasm() == sample.wasm);
    assert!(*engine.serialize(&module).unwrap() == sample.artifact(&engine));
}

pub fn contains_agrees_with_load<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine) = (&fixture.subject, engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    let agree = |expected| {
        assert_eq!(cache.contains(sample.key, &engine).unwrap(), expected);
        assert_eq!(sample.load(cache, &engine).is_some(), expected);
        assert!(!cache.contains(other.key, &engine).unwrap());
    };
    agree(false);
    sample.save(cache, &engine);
    agree(true);
    agree(true);
    cache.remove(sample.key, &engine).unwrap();
    agree(false);
}

pub fn load_resident_agrees_with_load<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    let resident = fixture.capabilities.resident;
    sample.save(cache, &engine);
    assert_eq!(sample.load_resident(cache, &engine).is_some(), resident);
    sample.assert_loads(cache, &engine);
    assert_eq!(sample.load_resident(cache, &engine).is_some(), resident);
    cache.remove(sample.key, &engine).unwrap();
    assert!(sample.load_resident(cache, &engine).is_none());
}

pub fn entries_hold_what_was_saved<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.save(cache, &engine);
    let claimed = fixture.capabilities.entries;
    let Some(entries) = cache.entries() else {
        assert!(!claimed, "entries are claimed, and there are none");
        return;
    };
    assert!(claimed, "entries are there, and not claimed");
    let entry = sample.assert_has(entries, &engine);
    assert!(entries.exists(entry.key()).unwrap());

    cache.remove(sample.key, &engine).unwrap();
    sample.assert_has_not(entries, &engine);

    // An entry that is put there is as good as a module that was saved.
    assert_stored(entries.put(entry.key(), &entry).unwrap());
    cache.flush().unwrap();
    sample.assert_loads(cache, &engine.same_id());
}

pub fn an_entry_in_hand_loads<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    let claimed = fixture.capabilities.entries;
    let loaded = cache
        .load_sealed(sample.key, &engine, sample.entry(&engine))
        .expect("an entry in hand loads, or is nothing to this cache");
    if let Some(module) = loaded {
        assert!(module.wasm() == sample.wasm, "another module: {module:?}");
    } else {
        assert!(!claimed, "the cache has entries, and cannot load one");
    }
    if !claimed {
        return;
    }
    let host = TestEngine::accepting("host", &[&engine]);
    let loaded = cache.load_sealed(sample.key, &host, sample.entry(&engine));
    assert!(
        loaded.is_ok_and(|loaded| loaded.is_some()),
        "it is accepted"
    );
    let rejecting = engine.same_id();
    rejecting.reject_artifacts(true);
    for (key, engine) in [
        (Sample::small(2).key, &engine),
        (sample.key, &other_engine()),
        (sample.key, &rejecting),
    ] {
        let refused = cache.load_sealed(key, engine, sample.entry(&self::engine()));
        assert!(refused.is_err(), "not an entry of this key: {refused:?}");
    }
}

pub fn flush_succeeds<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    cache.flush().unwrap();
    sample.save(cache, &engine);
    cache.flush().unwrap();
    sample.assert_loads(cache, &engine);
}

pub fn a_large_module_loads<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    saves_and_loads(&fixture, &[Sample::sized(1, 5_000_003)]);
}

pub fn the_smallest_module_loads<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    saves_and_loads(&fixture, &[Sample::smallest()]);
}

pub fn many_modules_load<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let samples: Vec<_> = (0..200).map(Sample::small).collect();
    saves_and_loads(&fixture, &samples);
}

pub fn keys_may_be_any_bytes<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    saves_and_loads(&fixture, &Sample::with_like_keys());
}

pub fn an_artifact_that_its_engine_rejects_is_a_miss_and_stays<C: ModuleCache<TestEngine>>(
    fixture: Fixture<C>,
) {
    let (cache, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.save(cache, &engine);
    let rejecting = engine.same_id();
    rejecting.reject_artifacts(true);
    sample.assert_misses(cache, &rejecting);

    sample.assert_loads(cache, &engine);
    if fixture.capabilities.shared_between_instances {
        sample.assert_loads(cache, &engine.same_id());
    }
}

pub fn a_module_that_cannot_be_serialized_is_never_stored<C: ModuleCache<TestEngine>>(
    fixture: Fixture<C>,
) {
    let (cache, engine) = (&fixture.subject, engine());
    let (sample, foreign) = (Sample::small(1), Sample::small(2));
    engine.refuse_to_serialize(true);
    let saved = save_and_flush(cache, sample.key, &engine, &sample.compile(&engine));
    if !fixture.capabilities.shared_between_instances {
        assert_stored(saved.expect("a module that is kept alive need not be serialized"));
        sample.assert_loads(cache, &engine);
        return;
    }
    sample.assert_misses(cache, &engine.same_id());
    if fixture.capabilities.resident {
        // What one layer kept alive may be loaded, whatever the other says.
        sample.load(cache, &engine);
        return;
    }
    saved.expect_err("it was not stored");
    sample.assert_misses(cache, &engine);

    engine.refuse_to_serialize(false);
    let module = foreign.compile(&engine.same_id());
    save_and_flush(cache, foreign.key, &engine, &module)
        .expect_err("the engine refuses a module of another");
    foreign.assert_misses(cache, &engine);
}

/// What is known when nothing is pending any more: a cache may save behind its callers, and tells errors later.
fn save_and_flush<C: ModuleCache<TestEngine>>(
    cache: &C,
    hash: ModuleHash,
    engine: &TestEngine,
    module: &TestModule,
) -> Result<SaveOutcome, CacheError> {
    let saved = cache.save(hash, engine, module)?;
    cache.flush()?;
    Ok(saved)
}

pub fn a_second_handle_shares_the_storage<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    // What cannot be opened again has no second handle.
    let Some(reopen) = &fixture.reopen else {
        return;
    };
    let (first, second, engine) = (&fixture.subject, &reopen(), engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    sample.save(first, &engine);
    sample.assert_loads(second, &engine);
    other.save(second, &engine);
    other.assert_loads(first, &engine);
    assert!(first.remove(other.key, &engine).unwrap());
    if !fixture.capabilities.resident {
        other.assert_misses(second, &engine);
    }
}

pub fn a_cache_opened_again_loads_what_was_saved<C: ModuleCache<TestEngine>>(fixture: Fixture<C>) {
    let Some(reopen) = fixture.reopen else {
        return;
    };
    let (cache, engine) = (fixture.subject, engine());
    let (sample, removed) = (Sample::small(1), Sample::small(2));
    sample.save(&cache, &engine);
    removed.save(&cache, &engine);
    cache.remove(removed.key, &engine).unwrap();
    drop(cache);
    let cache = reopen();
    sample.assert_loads(&cache, &engine);
    removed.assert_misses(&cache, &engine);
    assert!(cache.remove(sample.key, &engine).unwrap());
}

pub fn another_thread_loads_what_was_saved<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let (cache, engine, sample) = (Arc::new(fixture.subject), engine(), Sample::small(1));
    sample.save(&cache, &engine);
    let loaded = in_time(move || sample.load(&cache, &engine).is_some());
    assert_eq!(loaded, !fixture.capabilities.thread_local);
}

pub fn threads_load_the_right_module_or_none<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    const THREADS: usize = 6;
    const ROUNDS: usize = 24;
    let cache = Arc::new(fixture.subject);
    let engines = [engine(), other_engine()];
    // Every second thread has an engine object of its own.
    let twins = engines.each_ref().map(TestEngine::same_id);
    let samples: Arc<Vec<_>> = Arc::new((0..4).map(|n| Sample::sized(n, 50_000)).collect());
    in_time({
        let (cache, engines, samples) = (cache.clone(), engines.clone(), samples.clone());
        move || {
            thread::scope(|scope| {
                for number in 0..THREADS {
                    let engines = if number % 2 == 0 { &engines } else { &twins };
                    let (cache, samples) = (&cache, &samples);
                    scope.spawn(move || {
                        for round in 0..ROUNDS {
                            let sample = &samples[(round + number) % samples.len()];
                            let engine = &engines[round / 2 % 2];
                            if round % 3 == 0 {
                                cache.remove(sample.key, engine).unwrap();
                            } else if sample.load(cache, engine).is_none() {
                                let module = engine.compile(&sample.wasm).unwrap();
                                let _ = cache.save(sample.key, engine, &module).unwrap();
                            }
                            sample.load_resident(cache, engine);
                        }
                    });
                }
            });
        }
    });
    for sample in &*samples {
        for engine in &engines {
            sample.save(&cache, engine);
            sample.assert_loads(&cache, engine);
        }
    }
}

pub fn a_permit_excludes_others_until_it_is_dropped<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let (cache, engine) = (Arc::new(fixture.subject), engine());
    // Stored code is for all engines of one id, and so is the permit to make it.
    let second = if fixture.capabilities.shared_between_instances {
        engine.same_id()
    } else {
        engine.clone()
    };
    permit::exclusive_until_dropped(
        fixture.capabilities.permits,
        &ask(&cache, &engine),
        &ask(&cache, &second),
    );
}

pub fn a_dropped_permit_is_free<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let ask = ask(&Arc::new(fixture.subject), &engine());
    permit::free_when_dropped(fixture.capabilities.permits, &ask);
}

pub fn permits_of_different_keys_are_independent<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let ask = ask(&Arc::new(fixture.subject), &engine());
    permit::independent(fixture.capabilities.permits, &ask);
}

pub fn one_at_a_time_holds_a_permit<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let ask = ask(&Arc::new(fixture.subject), &engine());
    permit::one_at_a_time(fixture.capabilities.permits, ask);
}

pub fn a_permit_excludes_other_handles<C>(fixture: Fixture<C>)
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let Some(reopen) = &fixture.reopen else {
        return;
    };
    let (second, engine) = (Arc::new(reopen()), engine());
    permit::exclusive_until_dropped(
        fixture.capabilities.permits,
        &ask(&Arc::new(fixture.subject), &engine),
        &ask(&second, &engine),
    );
}

fn engine() -> TestEngine {
    TestEngine::new("conformance")
}

fn other_engine() -> TestEngine {
    TestEngine::new("other")
}

fn saves_and_loads<C: ModuleCache<TestEngine>>(fixture: &Fixture<C>, samples: &[Sample]) {
    let (cache, engine) = (&fixture.subject, engine());
    for sample in samples {
        sample.save_new(cache, &engine);
    }
    for sample in samples {
        sample.assert_loads(cache, &engine);
        if fixture.capabilities.shared_between_instances {
            sample.assert_loads(cache, &engine.same_id());
        }
    }
}

fn ask<C>(cache: &Arc<C>, engine: &TestEngine) -> Ask
where
    C: ModuleCache<TestEngine> + Send + Sync + 'static,
{
    let keys: [_; permit::KEYS] = [
        (Sample::small(1).key, engine.clone()),
        (Sample::small(2).key, engine.clone()),
        (Sample::small(1).key, other_engine()),
    ];
    let cache = cache.clone();
    Arc::new(move |number| {
        let (key, engine) = &keys[number];
        cache.compile_permit(*key, engine).unwrap()
    })
}
