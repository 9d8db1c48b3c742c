//! When an entry that a folder in front of the storage has is uploaded again, should the storage have lost it.
//!
//! Entries expire there, and uploads are dropped. Who compiled them has them still, and asks for them no more. So now and then a
//! hit in front is left to be uploaded, as after a save: the upload looks first whether the entry is there.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use module_cache_core::{EntryKey, EntryStore};
use parking_lot::Mutex;

use crate::io_thread;
use crate::shared::Shared;

/// Nothing was offered yet.
const NEW: u8 = 0;
/// It is too early for another.
const EARLY: u8 = 1;
/// The next one that is offered is taken.
const DUE: u8 = 2;

/// Entries that were looked for and are not again, until so many were; and so many hits of them are passed over for one
/// that was not.
const MOST: usize = 1000;

#[derive(Debug)]
pub(crate) struct Backfill {
    interval: Option<Duration>,
    state: AtomicU8,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    keys: HashSet<EntryKey>,
    passed_over: usize,
}

/// What becomes of an entry when one is due.
enum Choice {
    Fill,
    /// The next one may be another.
    PassOver,
    /// There is no other.
    Rest,
}

impl Backfill {
    pub(crate) fn new(interval: Option<Duration>) -> Self {
        Self {
            interval,
            state: AtomicU8::new(NEW),
            seen: Mutex::default(),
        }
    }

    fn choose(&self, key: &EntryKey) -> Choice {
        let mut seen = self.seen.lock();
        if seen.keys.len() >= MOST {
            seen.keys.clear();
        }
        if seen.keys.insert(*key) {
            seen.passed_over = 0;
            return Choice::Fill;
        }
        seen.passed_over += 1;
        if seen.passed_over < MOST {
            return Choice::PassOver;
        }
        seen.passed_over = 0;
        Choice::Rest
    }
}

/// Takes an entry that `from` has, if one is due. A hit in memory comes here, too: it costs the look at a flag.
pub(crate) fn offer(shared: &Arc<Shared>, key: &EntryKey, from: &dyn EntryStore) {
    let backfill = &shared.backfill;
    let Some(interval) = backfill.interval else {
        return;
    };
    if backfill.state.load(Ordering::Relaxed) == EARLY {
        return;
    }
    match backfill.state.swap(EARLY, Ordering::Relaxed) {
        NEW => {}
        DUE => match backfill.choose(key) {
            Choice::Fill => fill(shared, key, from),
            Choice::PassOver => return backfill.state.store(DUE, Ordering::Relaxed),
            Choice::Rest => {}
        },
        _ => return,
    }
    let shared = Arc::downgrade(shared);
    let _ = io_thread::spawn(async move {
        tokio::time::sleep(interval).await;
        if let Some(shared) = shared.upgrade() {
            shared.backfill.state.store(DUE, Ordering::Relaxed);
        }
    });
}

/// Leaves the entry to be uploaded, where nothing else is on its way.
fn fill(shared: &Arc<Shared>, key: &EntryKey, from: &dyn EntryStore) {
    if shared.read_only() || !shared.uploads.is_idle() || !shared.admit() {
        return;
    }
    // It may have been in memory alone.
    if let Ok(Some(entry)) = from.get(key)
        && let Err(failure) = shared.put(&entry)
    {
        tracing::debug!(%key, %failure, "cannot upload an entry again");
    }
}
