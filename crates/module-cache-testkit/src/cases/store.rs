//! What an [`EntryStore`] must do. Each public function is one case, and is named in the list behind
//! [`entry_store_conformance!`](crate::entry_store_conformance).

#![expect(
    clippy::needless_pass_by_value,
    reason = "a case owns its fixture, whether it takes it apart or not"
)]

use std::sync::Arc;
use std::thread;

use module_cache_core::{Engine, EngineError, EntryKey, EntryStore};

use super::permit::{self, Ask};
use super::sample::{Sample, assert_stored};
use crate::in_time::in_time;
use crate::{Fixture, ReferenceStore, TestEngine};

pub fn an_empty_store_has_nothing<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.assert_has_not(store, &engine);
    assert!(!store.exists(&sample.entry_key(&engine)).unwrap());
    assert!(!store.delete(&sample.entry_key(&engine)).unwrap());
}

pub fn what_was_put_comes_back_byte_for_byte<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.put_new(store, &engine);
    for _ in 0..2 {
        // The stored form is compared by `assert_has`.
        let artifact = sample.assert_has(store, &engine).into_artifact().unwrap();
        let expected = sample.artifact(&engine);
        assert_eq!(artifact.len(), expected.len() as u64);
        assert!(artifact.into_bytes().unwrap() == expected);
    }
}

pub fn another_key_has_nothing<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine) = (&fixture.subject, engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    sample.put(store, &engine);
    other.assert_has_not(store, &engine);
    assert!(!store.exists(&other.entry_key(&engine)).unwrap());
    assert!(!store.delete(&other.entry_key(&engine)).unwrap());
    sample.assert_has(store, &engine);
}

pub fn an_entry_is_never_returned_under_another_key<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    for (wrong_sample, wrong_engine) in [
        (Sample::small(2), engine.clone()),
        (Sample::small(1), other_engine()),
    ] {
        let wrong_key = wrong_sample.entry_key(&wrong_engine);
        // `get` checks that what there is is right. Refused or not, that is what counts.
        let _ = store.put(&wrong_key, &sample.entry(&engine));
        store.sync().unwrap();
        wrong_sample.assert_has_not(store, &wrong_engine);
        sample.get(store, &engine);

        // Nor does it pass for the right one when that is there.
        wrong_sample.put(store, &wrong_engine);
        let _ = store.put(&wrong_key, &sample.entry(&engine));
        store.sync().unwrap();
        wrong_sample.get(store, &wrong_engine);
    }
}

pub fn putting_twice_is_harmless<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.put(store, &engine);
    for _ in 0..2 {
        sample.put(store, &engine);
        sample.assert_has(store, &engine);
    }
    assert!(store.delete(&sample.entry_key(&engine)).unwrap());
    sample.assert_has_not(store, &engine);
}

pub fn a_removed_entry_is_gone<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine) = (&fixture.subject, engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    sample.put(store, &engine);
    other.put(store, &engine);
    assert!(store.delete(&sample.entry_key(&engine)).unwrap());
    sample.assert_has_not(store, &engine);
    assert!(!store.delete(&sample.entry_key(&engine)).unwrap());
    other.assert_has(store, &engine);

    sample.put_new(store, &engine);
    sample.assert_has(store, &engine);
}

pub fn an_entry_in_hand_survives_its_removal<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.put(store, &engine);
    let entry = sample.assert_has(store, &engine);
    store.delete(entry.key()).unwrap();
    sample.assert_is(&entry, &engine);

    // This is how layers pass entries on.
    assert_stored(store.put(entry.key(), &entry).unwrap());
    store.sync().unwrap();
    sample.assert_has(store, &engine);
}

pub fn contains_agrees_with_get<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    let key = sample.entry_key(&engine);
    let agree = |expected| {
        assert_eq!(store.exists(&key).unwrap(), expected);
        assert_eq!(sample.get(store, &engine).is_some(), expected);
    };
    agree(false);
    sample.put(store, &engine);
    agree(true);
    agree(true);
    store.delete(&key).unwrap();
    agree(false);
}

pub fn modules_and_engines_do_not_mix<S: EntryStore>(fixture: Fixture<S>) {
    let store = &fixture.subject;
    let (samples, engines) = (
        [Sample::small(1), Sample::small(2)],
        [engine(), other_engine()],
    );
    for sample in &samples {
        for engine in &engines {
            sample.put_new(store, engine);
        }
    }
    for sample in &samples {
        for engine in &engines {
            sample.assert_has(store, engine);
        }
    }
    let [engine, other] = &engines;
    assert!(store.delete(&samples[0].entry_key(engine)).unwrap());
    samples[0].assert_has_not(store, engine);
    samples[0].assert_has(store, other);
    samples[1].assert_has(store, engine);
}

pub fn the_first_id_that_has_an_entry_counts<S: EntryStore>(fixture: Fixture<S>) {
    let (store, sample) = (&fixture.subject, Sample::small(1));
    let engines = [TestEngine::new("first"), engine(), other_engine()];
    let [first, second, third] = engines.each_ref().map(|engine| *engine.id());
    let key = sample.entry_key(&engines[0]);
    let find = || {
        let entry = store.get_first(&key, &[second, third]).unwrap();
        let faster = ReferenceStore::new();
        let promoted = store.promote(&key, &[second, third], &faster).unwrap();
        let found = promoted.map(|promotion| promotion.key);
        assert_eq!(found, entry.map(|entry| *entry.key()));
        let under_it = |key: EntryKey| faster.stored_bytes(&key).is_some();
        assert!(
            faster.is_empty() || found.is_some_and(under_it),
            "it moved under another key"
        );
        found.map(|key| *key.engine())
    };
    assert_eq!(find(), None);
    for (engine, id) in engines.iter().zip([first, second, third]).rev() {
        sample.put(store, engine);
        assert_eq!(find(), Some(id));
    }
    assert!(store.get_first(&key, &[]).unwrap().is_some());
    store.delete(&key).unwrap();
    assert!(store.get_first(&key, &[]).unwrap().is_none());
}

pub fn flush_succeeds<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    store.sync().unwrap();
    sample.put(store, &engine);
    store.sync().unwrap();
    sample.assert_has(store, &engine);
}

pub fn a_large_entry_comes_back<S: EntryStore>(fixture: Fixture<S>) {
    puts_and_gets(&fixture.subject, &[Sample::sized(1, 5_000_003)]);
}

pub fn the_smallest_entry_comes_back<S: EntryStore>(fixture: Fixture<S>) {
    puts_and_gets(&fixture.subject, &[Sample::smallest()]);
}

pub fn many_entries_come_back<S: EntryStore>(fixture: Fixture<S>) {
    let samples: Vec<_> = (0..200).map(Sample::small).collect();
    puts_and_gets(&fixture.subject, &samples);
}

pub fn keys_may_be_any_bytes<S: EntryStore>(fixture: Fixture<S>) {
    puts_and_gets(&fixture.subject, &Sample::with_like_keys());
}

pub fn a_rejected_entry_stays<S: EntryStore>(fixture: Fixture<S>) {
    let (store, engine, sample) = (&fixture.subject, engine(), Sample::small(1));
    sample.put(store, &engine);
    store.rejected(
        &sample.entry_key(&engine),
        &EngineError::refused("the engine does not take it"),
    );
    sample.assert_has(store, &engine);
}

pub fn a_second_handle_shares_the_storage<S: EntryStore>(fixture: Fixture<S>) {
    // What cannot be opened again has no second handle.
    let Some(reopen) = &fixture.reopen else {
        return;
    };
    let (first, second, engine) = (&fixture.subject, &reopen(), engine());
    let (sample, other) = (Sample::small(1), Sample::small(2));
    sample.put(first, &engine);
    sample.assert_has(second, &engine);
    other.put(second, &engine);
    other.assert_has(first, &engine);
    assert!(first.delete(&other.entry_key(&engine)).unwrap());
    other.assert_has_not(second, &engine);
}

pub fn a_store_opened_again_has_what_was_put<S: EntryStore>(fixture: Fixture<S>) {
    let Some(reopen) = fixture.reopen else {
        return;
    };
    let (store, engine) = (fixture.subject, engine());
    let (sample, removed) = (Sample::small(1), Sample::small(2));
    sample.put(&store, &engine);
    removed.put(&store, &engine);
    store.delete(&removed.entry_key(&engine)).unwrap();
    drop(store);
    let store = reopen();
    sample.assert_has(&store, &engine);
    removed.assert_has_not(&store, &engine);
    assert!(store.delete(&sample.entry_key(&engine)).unwrap());
}

pub fn threads_get_whole_entries_or_none<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    const THREADS: usize = 4;
    const ROUNDS: usize = 24;
    let (store, engine) = (Arc::new(fixture.subject), engine());
    let samples: Arc<Vec<_>> = Arc::new((0..3).map(|n| Sample::sized(n, 200_000)).collect());
    in_time({
        let (store, engine, samples) = (store.clone(), engine.clone(), samples.clone());
        move || {
            thread::scope(|scope| {
                for number in 0..THREADS {
                    let (store, engine, samples) = (&store, &engine, &samples);
                    scope.spawn(move || {
                        for round in 0..ROUNDS {
                            let sample = &samples[(round + number) % samples.len()];
                            let key = sample.entry_key(engine);
                            if round % 3 == 0 {
                                store.delete(&key).unwrap();
                            } else if sample.get(store, engine).is_none() {
                                let _ = store.put(&key, &sample.entry(engine)).unwrap();
                            }
                        }
                    });
                }
            });
        }
    });
    for sample in &*samples {
        sample.put(&store, &engine);
        sample.assert_has(&store, &engine);
    }
}

pub fn an_entry_that_is_put_again_stays_there_meanwhile<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    const ROUNDS: usize = 24;
    let (store, engine) = (fixture.subject, engine());
    let sample = Sample::sized(1, 200_000);
    sample.put_new(&store, &engine);
    in_time(move || {
        thread::scope(|scope| {
            let puts = scope.spawn(|| {
                for _ in 0..ROUNDS {
                    sample.put(&store, &engine);
                }
            });
            while !puts.is_finished() {
                sample.assert_has(&store, &engine);
            }
        });
    });
}

pub fn a_permit_excludes_others_until_it_is_dropped<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    let ask = ask(fixture.subject);
    permit::exclusive_until_dropped(fixture.capabilities.permits, &ask, &ask);
}

pub fn a_dropped_permit_is_free<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    permit::free_when_dropped(fixture.capabilities.permits, &ask(fixture.subject));
}

pub fn permits_of_different_keys_are_independent<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    permit::independent(fixture.capabilities.permits, &ask(fixture.subject));
}

pub fn one_at_a_time_holds_a_permit<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    permit::one_at_a_time(fixture.capabilities.permits, ask(fixture.subject));
}

pub fn a_permit_excludes_other_handles<S>(fixture: Fixture<S>)
where
    S: EntryStore + Send + Sync + 'static,
{
    let Some(reopen) = &fixture.reopen else {
        return;
    };
    let second = ask(reopen());
    permit::exclusive_until_dropped(fixture.capabilities.permits, &ask(fixture.subject), &second);
}

fn engine() -> TestEngine {
    TestEngine::new("conformance")
}

fn other_engine() -> TestEngine {
    TestEngine::new("other")
}

fn puts_and_gets(store: &impl EntryStore, samples: &[Sample]) {
    let engine = engine();
    for sample in samples {
        sample.put_new(store, &engine);
    }
    for sample in samples {
        sample.assert_has(store, &engine);
    }
}

fn ask<S: EntryStore + Send + Sync + 'static>(store: S) -> Ask {
    let keys: [_; permit::KEYS] = [
        Sample::small(1).entry_key(&engine()),
        Sample::small(2).entry_key(&engine()),
        Sample::small(1).entry_key(&other_engine()),
    ];
    Arc::new(move |number| store.permit(&keys[number]).unwrap())
}
