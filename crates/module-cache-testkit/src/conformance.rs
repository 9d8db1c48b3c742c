//! The macros that turn the cases into tests.

/// Generates a module of tests, one for each case of the contract of [`ModuleCache`](module_cache_core::ModuleCache).
///
/// It takes the module's name and a function (or any expression to call) that returns a fresh [`Fixture`](crate::Fixture)
/// of a `C: ModuleCache<TestEngine> + Send + Sync + 'static`. For a cache that threads cannot share, `single_threaded` as a
/// third argument omits the cases that use several threads. An attribute in front of the name replaces `#[test]`: in a
/// browser, `#[wasm_bindgen_test]`.
///
/// ```test_harness
/// use module_cache_core::ModuleCache;
/// use module_cache_testkit::{
///     Capabilities, Fixture, ReferenceCache, TestEngine, module_cache_conformance,
/// };
///
/// fn fixture() -> Fixture<ReferenceCache<TestEngine>> {
///     Fixture::new(ReferenceCache::new(), Capabilities::LIVE)
/// }
///
/// module_cache_conformance!(reference, fixture);
/// // The same behind a pointer that is not `Sync`.
/// module_cache_conformance!(
///     boxed,
///     || fixture().map(|cache| Box::new(cache) as Box<dyn ModuleCache<TestEngine>>),
///     single_threaded
/// );
/// ```
#[macro_export]
macro_rules! module_cache_conformance {
    (#[$test:meta] $name:ident, $fixture:expr) => {
        $crate::__conformance_module! { $name
            $crate::__cache_cases! { any [$crate::__emit_tests] #[$test] cache, $fixture }
            $crate::__cache_cases! { shared [$crate::__emit_tests] #[$test] cache, $fixture }
        }
    };
    (#[$test:meta] $name:ident, $fixture:expr, single_threaded) => {
        $crate::__conformance_module! { $name
            $crate::__cache_cases! { any [$crate::__emit_tests] #[$test] cache, $fixture }
        }
    };
    ($name:ident, $($arguments:tt)*) => {
        $crate::module_cache_conformance! { #[test] $name, $($arguments)* }
    };
}

/// Generates a module of tests, one for each case of the contract of [`EntryStore`](module_cache_core::EntryStore).
///
/// It takes the module's name and a function (or any expression to call) that returns a fresh
/// [`Fixture`](crate::Fixture) of an `S: EntryStore + Send + Sync + 'static`, and `single_threaded` and an
/// attribute as [`module_cache_conformance!`](crate::module_cache_conformance) does.
#[macro_export]
macro_rules! entry_store_conformance {
    (#[$test:meta] $name:ident, $fixture:expr) => {
        $crate::__conformance_module! { $name
            $crate::__store_cases! { any [$crate::__emit_tests] #[$test] store, $fixture }
            $crate::__store_cases! { shared [$crate::__emit_tests] #[$test] store, $fixture }
        }
    };
    (#[$test:meta] $name:ident, $fixture:expr, single_threaded) => {
        $crate::__conformance_module! { $name
            $crate::__store_cases! { any [$crate::__emit_tests] #[$test] store, $fixture }
        }
    };
    ($name:ident, $($arguments:tt)*) => {
        $crate::entry_store_conformance! { #[test] $name, $($arguments)* }
    };
}

/// A module that sees what its parent sees, so that the fixture may be named as it is there.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_module {
    ($name:ident $($tests:tt)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the fixture may be named by a full path")]
            use super::*;

            $($tests)*
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __emit_tests {
    (#[$test:meta] $cases:ident, $fixture:expr; $($case:ident)*) => {
        $(
            #[$test]
            fn $case() {
                $crate::cases::$cases::$case(($fixture)());
            }
        )*
    };
}

/// The cases for caches, those for any and those for caches that threads share, given to the macro in
/// brackets behind its arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __cache_cases {
    (any [$($then:tt)*] $($arguments:tt)*) => {
        $($then)*! { $($arguments)*;
            an_empty_cache_misses
            what_was_saved_loads
            another_key_misses
            each_engine_id_has_its_own_module
            code_of_accepted_ids_loads_in_their_order_and_is_named
            code_of_an_accepted_id_is_not_stored_under_the_own
            a_live_module_stays_with_its_engine_instance
            saving_twice_is_harmless
            a_removed_module_is_forgotten
            a_module_handed_out_survives_its_removal
            contains_agrees_with_load
            load_resident_agrees_with_load
            entries_hold_what_was_saved
            an_entry_in_hand_loads
            flush_succeeds
            a_large_module_loads
            the_smallest_module_loads
            many_modules_load
            keys_may_be_any_bytes
            an_artifact_that_its_engine_rejects_is_a_miss_and_stays
            a_module_that_cannot_be_serialized_is_never_stored
            a_second_handle_shares_the_storage
            a_cache_opened_again_loads_what_was_saved
        }
    };
    (shared [$($then:tt)*] $($arguments:tt)*) => {
        $($then)*! { $($arguments)*;
            another_thread_loads_what_was_saved
            threads_load_the_right_module_or_none
            a_permit_excludes_others_until_it_is_dropped
            a_dropped_permit_is_free
            permits_of_different_keys_are_independent
            one_at_a_time_holds_a_permit
            a_permit_excludes_other_handles
        }
    };
}

/// As [`__cache_cases`], for stores.
#[doc(hidden)]
#[macro_export]
macro_rules! __store_cases {
    (any [$($then:tt)*] $($arguments:tt)*) => {
        $($then)*! { $($arguments)*;
            an_empty_store_has_nothing
            what_was_put_comes_back_byte_for_byte
            another_key_has_nothing
            an_entry_is_never_returned_under_another_key
            putting_twice_is_harmless
            a_removed_entry_is_gone
            an_entry_in_hand_survives_its_removal
            contains_agrees_with_get
            modules_and_engines_do_not_mix
            the_first_id_that_has_an_entry_counts
            flush_succeeds
            a_large_entry_comes_back
            the_smallest_entry_comes_back
            many_entries_come_back
            keys_may_be_any_bytes
            a_rejected_entry_stays
            a_second_handle_shares_the_storage
            a_store_opened_again_has_what_was_put
        }
    };
    (shared [$($then:tt)*] $($arguments:tt)*) => {
        $($then)*! { $($arguments)*;
            threads_get_whole_entries_or_none
            an_entry_that_is_put_again_stays_there_meanwhile
            a_permit_excludes_others_until_it_is_dropped
            a_dropped_permit_is_free
            permits_of_different_keys_are_independent
            one_at_a_time_holds_a_permit
            a_permit_excludes_other_handles
        }
    };
}
