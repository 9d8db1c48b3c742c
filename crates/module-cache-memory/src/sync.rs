//! The primitives that `biased_lock.rs` is built on, in one place: a model checker has others.

pub(crate) use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use crossbeam_utils::CachePadded;
pub(crate) use module_cache_core::per_thread::ThreadSlot as Slot;
pub(crate) use parking_lot::{Mutex, RwLock};

use std::hint;
use std::thread;
use std::time::Duration;

pub(crate) use crate::asymmetric_fence;

/// How many threads have a slot to themselves.
pub(crate) const EXCLUSIVE_SLOTS: usize = Slot::EXCLUSIVE;

/// The slot's index, if no other thread has it.
#[inline]
pub(crate) fn exclusive(slot: Slot) -> Option<usize> {
    slot.exclusive()
}

/// Lets time pass for somebody who waits for a few instructions of another thread, in rounds: first that thread is
/// probably running, then it may want this core, and in the end it may have a lower priority, so that it runs only
/// while this thread sleeps.
pub(crate) fn pause(round: u32) {
    match round {
        0..100 => hint::spin_loop(),
        100..110 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(50 << (round - 110).min(4))),
    }
}
