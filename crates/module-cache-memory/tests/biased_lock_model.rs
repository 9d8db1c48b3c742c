//! The biased lock under a model checker, loom: every order in which two threads can run, and every value that a load
//! may see then.
//!
//! It is the very file of the crate, on primitives of loom, which `sync` has under the names of the real ones. Each of
//! its parts can be left out here, and then the model must fail: so it is no check that cannot.

#![cfg(target_os = "linux")]

#[path = "../src/biased_lock.rs"]
#[allow(dead_code, reason = "the model uses a part of it")]
mod biased_lock;
#[path = "support/loom_sync.rs"]
mod sync;

use loom::cell::UnsafeCell;
use loom::sync::Arc;

use biased_lock::BiasedLock;
use sync::Flaw;

/// loom fails when one thread looks while another changes.
type Value = UnsafeCell<u32>;

fn look(value: &Value) -> u32 {
    // SAFETY: loom checks that nobody changes it now.
    value.with(|value| unsafe { *value })
}

fn change(value: &mut Value) {
    // SAFETY: loom checks that nobody looks at it now.
    value.with_mut(|value| unsafe { *value += 1 });
}

/// A thread that looks twice, and two changes on each of two others.
fn model(flaw: Flaw, writers: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        sync::begin(flaw);
        let lock = Arc::new(BiasedLock::new(UnsafeCell::new(0)));
        let threads: Vec<_> = (0..writers)
            .map(|_| {
                let lock = Arc::clone(&lock);
                loom::thread::spawn(move || lock.write(change))
            })
            .collect();
        let first = lock.read(Some(0), look);
        let second = lock.read(Some(0), look);
        assert!(first <= second, "time went back");
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(lock.read(Some(0), look) as usize, writers);
    });
}

#[test]
fn nobody_looks_while_somebody_changes_in_any_order_of_two_threads() {
    model(Flaw::None, 1);
}

#[test]
fn nobody_looks_while_one_of_two_changes_in_any_order_of_three_threads() {
    model(Flaw::None, 2);
}

#[test]
fn a_reader_without_a_slot_and_one_with_a_slot_keep_a_writer_out() {
    loom::model(|| {
        sync::begin(Flaw::None);
        let lock = Arc::new(BiasedLock::new(UnsafeCell::new(0)));
        let reader = Arc::clone(&lock);
        let reader = loom::thread::spawn(move || reader.read(None, look));
        lock.write(change);
        assert!(reader.join().unwrap() <= 1);
    });
}

#[test]
fn a_fence_that_fails_leaves_a_lock_that_excludes() {
    model(Flaw::FenceFails, 2);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_the_heavy_fence_somebody_looks_while_another_changes() {
    model(Flaw::NoHeavyFence, 1);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_the_light_fence_somebody_looks_while_another_changes() {
    model(Flaw::NoLightFence, 1);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_the_wait_for_readers_somebody_looks_while_another_changes() {
    model(Flaw::NoWait, 1);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_the_look_at_the_bias_somebody_looks_while_another_changes() {
    model(Flaw::NeverRevoked, 1);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_release_where_a_flag_is_lowered_somebody_looks_while_another_changes() {
    model(Flaw::RelaxedStores, 1);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_acquire_where_the_bias_is_looked_at_somebody_looks_while_another_changes() {
    model(Flaw::RelaxedLoads, 1);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn without_the_lock_of_writers_somebody_looks_while_another_changes() {
    model(Flaw::ManyWriters, 2);
}
