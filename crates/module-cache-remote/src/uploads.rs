//! What is on its way to the storage: how much of it there may be, and waiting for it.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;

use module_cache_core::EntryKey;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The uploads that wait or run, and the leases that are being given back.
#[derive(Debug)]
pub(crate) struct Uploads {
    max_count: usize,
    max_bytes: u64,
    state: Arc<Watched>,
}

/// What is on its way, and a call to those who wait for a change of it, in the order in which they came.
#[derive(Debug, Default)]
struct Watched {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    next_ticket: u64,
    /// In the order in which they came.
    pending: BTreeMap<u64, Pending>,
    releases: usize,
    /// What hosts wait for, and whether it is stored.
    expected: HashMap<EntryKey, bool>,
}

#[derive(Debug)]
struct Pending {
    key: EntryKey,
    bytes: u64,
}

/// The answer to "is there room for another?".
#[derive(Debug)]
pub(crate) enum Admitted {
    Yes(Ticket),
    /// This very entry is on its way.
    Already,
    Full,
}

impl Uploads {
    pub(crate) fn new(max_count: usize, max_bytes: u64) -> Self {
        Self {
            max_count,
            max_bytes,
            state: Arc::default(),
        }
    }

    /// Takes a place in the queue. One upload is always allowed, however large.
    pub(crate) fn admit(&self, key: &EntryKey, bytes: u64) -> Admitted {
        self.state.change(|state| {
            if state.pending.values().any(|pending| pending.key == *key) {
                return Admitted::Already;
            }
            if !state.has_room(self.max_count, self.max_bytes, bytes) {
                return Admitted::Full;
            }
            let number = state.next_ticket;
            state.next_ticket += 1;
            state.pending.insert(number, Pending { key: *key, bytes });
            Admitted::Yes(Ticket {
                state: Arc::clone(&self.state),
                of: Of::Upload(number),
            })
        })
    }

    /// Announces that a lease will be given back.
    pub(crate) fn admit_release(&self) -> Ticket {
        self.state.change(|state| state.releases += 1);
        Ticket {
            state: Arc::clone(&self.state),
            of: Of::Release,
        }
    }

    /// Waits until there may be room for another.
    pub(crate) async fn room(&self, bytes: u64) {
        let (count, most) = (self.max_count, self.max_bytes);
        self.wait_for(|state| state.has_room(count, most, bytes))
            .await;
    }

    /// Remembers from now on whether this entry is stored, until that is asked for.
    pub(crate) fn expect(&self, key: EntryKey) {
        self.state.change(|state| {
            state.expected.insert(key, false);
        });
    }

    /// The entry is in the storage.
    pub(crate) fn stored(&self, key: &EntryKey) {
        self.state.change(|state| {
            if let Some(stored) = state.expected.get_mut(key) {
                *stored = true;
            }
        });
    }

    /// Whether the entry, which was expected, has been stored.
    pub(crate) fn has_stored(&self, key: &EntryKey) -> bool {
        let stored = self.state.change(|state| state.expected.remove(key));
        stored.unwrap_or(false)
    }

    /// Waits until no upload of this key is on its way.
    pub(crate) async fn finished(&self, key: &EntryKey) {
        self.wait_for(|state| state.pending.values().all(|pending| pending.key != *key))
            .await;
    }

    /// Waits for everything that was on its way when this was called.
    pub(crate) async fn drained(&self) {
        let next = self.state.state.lock().next_ticket;
        self.wait_for(|state| state.pending.range(..next).next().is_none())
            .await;
    }

    /// Waits until nothing is on its way, and no lease is being given back.
    pub(crate) async fn idle(&self) {
        self.wait_for(|state| state.pending.is_empty() && state.releases == 0)
            .await;
    }

    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.state.lock();
        state.pending.is_empty() && state.releases == 0
    }

    async fn wait_for(&self, mut done: impl FnMut(&State) -> bool) {
        loop {
            let mut changed = pin!(self.state.changed.notified());
            // Before the look, or a change behind it would go by.
            changed.as_mut().enable();
            if done(&self.state.state.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl Watched {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state.lock());
        self.changed.notify_waiters();
        changed
    }
}

impl State {
    fn has_room(&self, count: usize, most: u64, bytes: u64) -> bool {
        let waiting: u64 = self.pending.values().map(|pending| pending.bytes).sum();
        self.pending.is_empty()
            || (self.pending.len() < count && waiting.saturating_add(bytes) <= most)
    }
}

/// A place among what is on its way, left when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    state: Arc<Watched>,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Upload(u64),
    Release,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.state.change(|state| match self.of {
            Of::Upload(number) => drop(state.pending.remove(&number)),
            Of::Release => state.releases -= 1,
        });
    }
}

#[cfg(test)]
mod tests {
    use module_cache_core::{EngineId, ModuleHash};

    use super::*;

    fn key(n: u8) -> EntryKey {
        EntryKey::new(
            ModuleHash::from_bytes([n; 32]),
            EngineId::builder("test").build(),
        )
    }

    fn ticket(admitted: Admitted) -> Ticket {
        match admitted {
            Admitted::Yes(ticket) => ticket,
            other => panic!("there was room, and the answer is {other:?}"),
        }
    }

    #[test]
    fn there_is_room_for_so_many_and_so_many_bytes() {
        let uploads = Uploads::new(2, 100);
        let first = ticket(uploads.admit(&key(1), 60));
        assert!(matches!(uploads.admit(&key(2), 41), Admitted::Full));
        let second = ticket(uploads.admit(&key(2), 40));
        assert!(matches!(uploads.admit(&key(3), 0), Admitted::Full));
        drop(first);
        drop(ticket(uploads.admit(&key(3), 60)));
        drop(second);
        assert!(uploads.is_idle());
        drop(ticket(uploads.admit(&key(1), 1000)));
    }

    #[test]
    fn an_entry_is_uploaded_once_at_a_time() {
        let uploads = Uploads::new(2, 100);
        let ticket = ticket(uploads.admit(&key(1), 60));
        assert!(matches!(uploads.admit(&key(1), 60), Admitted::Already));
        drop(ticket);
        assert!(matches!(uploads.admit(&key(1), 60), Admitted::Yes(_)));
    }

    #[tokio::test]
    async fn waiting_ends_with_what_was_there_before() {
        let uploads = Uploads::new(9, 100);
        let key_one = key(1);
        let first = ticket(uploads.admit(&key_one, 1));
        let mut drained = std::pin::pin!(uploads.drained());
        let mut finished = std::pin::pin!(uploads.finished(&key_one));
        assert!(futures_util::poll!(&mut drained).is_pending());
        assert!(futures_util::poll!(&mut finished).is_pending());
        let _later = ticket(uploads.admit(&key(2), 1));
        drop(first);
        drained.await;
        finished.await;
        assert!(!uploads.is_idle());
    }
}
