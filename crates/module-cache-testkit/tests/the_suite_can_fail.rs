//! Each flaw that a cache can have fails the cases that are there to find it, and each case finds one.

mod flawed;

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};

use flawed::{Flaw, Flawed};
use module_cache_core::{EntryStore, ModuleCache, StoreCache};
use module_cache_testkit::{
    __cache_cases, __store_cases, Capabilities, Fixture, ReferenceCache, ReferenceStore,
    TestEngine, cases,
};

#[test]
fn every_case_for_caches_finds_what_it_is_there_for() {
    let mut found = BTreeSet::new();
    found.extend(finds(&cache_cases(), live, OF_LIVE_CACHES));
    found.extend(finds(
        &cache_cases(),
        stored,
        &[
            (
                Flaw::ForgetsWhenReopened,
                &[
                    "a_second_handle_shares_the_storage",
                    "a_cache_opened_again_loads_what_was_saved",
                ],
            ),
            (
                Flaw::HidesAcceptedIds,
                &["code_of_accepted_ids_loads_in_their_order_and_is_named"],
            ),
            (Flaw::HidesEntries, &["entries_hold_what_was_saved"]),
            (
                Flaw::OnePermitForAll,
                &["permits_of_different_keys_are_independent"],
            ),
            (Flaw::OpensNothing, &["an_entry_in_hand_loads"]),
            (
                Flaw::PermitsAll,
                &[
                    "a_permit_excludes_others_until_it_is_dropped",
                    "one_at_a_time_holds_a_permit",
                ],
            ),
            (Flaw::PermitsNothing, &["a_dropped_permit_is_free"]),
            (Flaw::PermitsOnce, &["a_dropped_permit_is_free"]),
            (Flaw::PermitsPerHandle, &["a_permit_excludes_other_handles"]),
            (
                Flaw::PermitsWithoutWaiting,
                &["a_permit_excludes_others_until_it_is_dropped"],
            ),
            (
                Flaw::PretendsToSave,
                &["a_module_that_cannot_be_serialized_is_never_stored"],
            ),
            (
                Flaw::RejectionDeletes,
                &["an_artifact_that_its_engine_rejects_is_a_miss_and_stays"],
            ),
            (
                Flaw::StoresUnderOwnId,
                &["code_of_an_accepted_id_is_not_stored_under_the_own"],
            ),
            (
                Flaw::RejectionIsError,
                &["an_artifact_that_its_engine_rejects_is_a_miss_and_stays"],
            ),
        ],
    ));
    // Unproven code makes the engine panic.
    found.extend(finds(
        &cache_cases(),
        over_a_store,
        &[
            (Flaw::CutsShort, &["what_was_saved_loads"]),
            (Flaw::DamagesBytes, &["what_was_saved_loads"]),
            (Flaw::IgnoresEngine, &["each_engine_id_has_its_own_module"]),
        ],
    ));
    assert_eq!(
        found,
        names(&cache_cases::<Flawed<StoreCache<ReferenceStore>>>()).collect()
    );
}

/// What a cache of live modules can do wrong.
const OF_LIVE_CACHES: &[(Flaw, &[&str])] = &[
    (Flaw::AlwaysContains, &["contains_agrees_with_load"]),
    (Flaw::ErrsOnMiss, &["an_empty_cache_misses"]),
    (Flaw::FlushFails, &["flush_succeeds"]),
    (Flaw::HidesResident, &["load_resident_agrees_with_load"]),
    (Flaw::IgnoresEngine, &["each_engine_id_has_its_own_module"]),
    (
        Flaw::IgnoresInstance,
        &["a_live_module_stays_with_its_engine_instance"],
    ),
    (Flaw::IgnoresModule, &["another_key_misses"]),
    (Flaw::KeepsHundred, &["many_modules_load"]),
    (
        Flaw::MixesUpThreads,
        &["threads_load_the_right_module_or_none"],
    ),
    (Flaw::RefusesLarge, &["a_large_module_loads"]),
    (Flaw::RefusesSmall, &["the_smallest_module_loads"]),
    (Flaw::RemoveSaysNo, &["a_removed_module_is_forgotten"]),
    (Flaw::RemovesNothing, &["a_removed_module_is_forgotten"]),
    (
        Flaw::SavesNothing,
        &[
            "what_was_saved_loads",
            "a_module_handed_out_survives_its_removal",
        ],
    ),
    (Flaw::SavesOnce, &["saving_twice_is_harmless"]),
    (
        Flaw::SerializesNeedlessly,
        &["a_module_that_cannot_be_serialized_is_never_stored"],
    ),
    (Flaw::ThreadBound, &["another_thread_loads_what_was_saved"]),
    (Flaw::TruncatesKeys, &["keys_may_be_any_bytes"]),
];

#[test]
fn every_case_for_stores_finds_what_it_is_there_for() {
    let mut found = BTreeSet::new();
    found.extend(finds(
        &store_cases(),
        store,
        &[
            (
                Flaw::AcceptsKeyMismatch,
                &["an_entry_is_never_returned_under_another_key"],
            ),
            (Flaw::AlwaysContains, &["contains_agrees_with_get"]),
            (Flaw::CutsShort, &["what_was_put_comes_back_byte_for_byte"]),
            (
                Flaw::DamagesBytes,
                &["what_was_put_comes_back_byte_for_byte"],
            ),
            (Flaw::ErrsOnMiss, &["an_empty_store_has_nothing"]),
            (Flaw::FlushFails, &["flush_succeeds"]),
            (
                Flaw::ForgetsWhenReopened,
                &[
                    "a_second_handle_shares_the_storage",
                    "a_store_opened_again_has_what_was_put",
                ],
            ),
            (
                Flaw::GoneWhilePut,
                &["an_entry_that_is_put_again_stays_there_meanwhile"],
            ),
            (
                Flaw::IgnoresAcceptedIds,
                &["the_first_id_that_has_an_entry_counts"],
            ),
            (Flaw::IgnoresEngine, &["modules_and_engines_do_not_mix"]),
            (Flaw::IgnoresModule, &["another_key_has_nothing"]),
            (Flaw::KeepsHundred, &["many_entries_come_back"]),
            (Flaw::MixesUpThreads, &["threads_get_whole_entries_or_none"]),
            (
                Flaw::OnePermitForAll,
                &["permits_of_different_keys_are_independent"],
            ),
            (
                Flaw::PermitsAll,
                &[
                    "a_permit_excludes_others_until_it_is_dropped",
                    "one_at_a_time_holds_a_permit",
                ],
            ),
            (Flaw::PermitsNothing, &["a_dropped_permit_is_free"]),
            (Flaw::PermitsPerHandle, &["a_permit_excludes_other_handles"]),
            (Flaw::RefusesLarge, &["a_large_entry_comes_back"]),
            (Flaw::RefusesSmall, &["the_smallest_entry_comes_back"]),
            (Flaw::RejectionDeletes, &["a_rejected_entry_stays"]),
            (Flaw::RemovesNothing, &["a_removed_entry_is_gone"]),
            (Flaw::RemoveSaysNo, &["a_removed_entry_is_gone"]),
            (
                Flaw::SavesNothing,
                &["an_entry_in_hand_survives_its_removal"],
            ),
            (Flaw::SavesOnce, &["putting_twice_is_harmless"]),
            (Flaw::TruncatesKeys, &["keys_may_be_any_bytes"]),
        ],
    ));
    assert_eq!(found, names(&store_cases::<ReferenceStore>()).collect());
}

#[test]
fn no_case_is_left_out_of_the_lists() {
    fn written(source: &str) -> impl Iterator<Item = &str> {
        let functions = source
            .lines()
            .filter_map(|line| line.strip_prefix("pub fn "));
        functions.filter_map(|function| function.split('<').next())
    }
    let cache = include_str!("../src/cases/cache.rs");
    assert!(written(cache).eq(names(&cache_cases::<ReferenceCache<TestEngine>>())));
    let store = include_str!("../src/cases/store.rs");
    assert!(written(store).eq(names(&store_cases::<ReferenceStore>())));
}

type Case<C> = (&'static str, fn(Fixture<C>));

macro_rules! listed {
    ($cases:ident; $($case:ident)*) => {
        vec![$((stringify!($case), cases::$cases::$case as fn(Fixture<_>))),*]
    };
}

fn cache_cases<C: ModuleCache<TestEngine> + Send + Sync + 'static>() -> Vec<Case<C>> {
    let any: Vec<Case<C>> = __cache_cases! { any [listed] cache };
    let shared: Vec<Case<C>> = __cache_cases! { shared [listed] cache };
    [any, shared].concat()
}

fn store_cases<S: EntryStore + Send + Sync + 'static>() -> Vec<Case<S>> {
    let any: Vec<Case<S>> = __store_cases! { any [listed] store };
    let shared: Vec<Case<S>> = __store_cases! { shared [listed] store };
    [any, shared].concat()
}

fn names<C>(cases: &[Case<C>]) -> impl Iterator<Item = &'static str> {
    cases.iter().map(|(name, _)| *name)
}

/// Runs the cases that are expected to find a flaw, and returns their names if all of them did.
fn finds<C>(
    cases: &[Case<C>],
    fixture: impl Fn(Flaw) -> Fixture<C>,
    expected: &[(Flaw, &[&'static str])],
) -> Vec<&'static str> {
    let fails = |name: &str, case: fn(Fixture<C>), flaw| {
        let fixture = fixture(flaw);
        let failed = panic::catch_unwind(AssertUnwindSafe(|| case(fixture))).is_err();
        println!(
            "{flaw:?}: {name} {}",
            if failed { "fails" } else { "passes" }
        );
        failed
    };
    // What is found is the flaw, and not that something is wrapped.
    for (name, case) in cases {
        assert!(!fails(name, *case, Flaw::None));
    }
    let mut found = Vec::new();
    for (flaw, finders) in expected {
        for finder in *finders {
            let (name, case) = cases.iter().find(|(name, _)| name == finder).unwrap();
            assert!(fails(name, *case, *flaw), "{name} overlooks {flaw:?}");
            found.push(*name);
        }
    }
    found
}

fn live(flaw: Flaw) -> Fixture<Flawed<ReferenceCache<TestEngine>>> {
    let cache = Flawed::new(flaw, ReferenceCache::new());
    Fixture::new(cache, Capabilities::LIVE)
}

fn stored(flaw: Flaw) -> Fixture<Flawed<StoreCache<ReferenceStore>>> {
    storage(flaw).map(move |store| Flawed::new(flaw, StoreCache(store)))
}

fn over_a_store(flaw: Flaw) -> Fixture<StoreCache<Flawed<ReferenceStore>>> {
    store(flaw).map(StoreCache)
}

fn store(flaw: Flaw) -> Fixture<Flawed<ReferenceStore>> {
    storage(flaw).map(move |store| Flawed::new(flaw, store))
}

fn storage(flaw: Flaw) -> Fixture<ReferenceStore> {
    let store = ReferenceStore::new();
    let again = store.clone();
    let capabilities = Capabilities {
        permits: true,
        ..Capabilities::STORED
    };
    Fixture::new(store, capabilities).reopened_by(move || match flaw {
        Flaw::ForgetsWhenReopened => ReferenceStore::new(),
        _ => again.clone(),
    })
}
