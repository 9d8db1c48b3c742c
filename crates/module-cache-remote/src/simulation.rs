//! A host of a simulated fleet: what a remote cache does, on the caller's runtime, whose time may be virtual, and with random
//! numbers that can be repeated.

use std::sync::Arc;
use std::time::Duration;

use module_cache_core::permit::PermitOutcome;
use module_cache_core::{CacheStats, EntryKey, SaveOutcome, SealedEntry};
use tokio::sync::mpsc;

use crate::fetch::Found;
use crate::permit::{Holder, Permit, Wait};
use crate::pieces::deliver;
use crate::shared::Shared;
use crate::{RemoteCacheBuilder, RemoteStats};

pub use crate::io_thread::simulate_on_this_thread;

pub struct Host(Arc<Shared>);

/// The answer to a host that asks for a permit.
pub enum Asked {
    Exclusive(Held),
    Held(Waiting),
    Uncoordinated,
}

pub struct Held(Holder);

pub struct Waiting(Wait);

impl Host {
    pub fn new(mut options: RemoteCacheBuilder, seed: u64) -> Self {
        options.seed = Some(seed);
        Self(Arc::new(Shared::new(options)))
    }

    /// Loads an entry, and says whether there was one. Its content comes, and is not looked at.
    pub async fn get(&self, key: &EntryKey) -> bool {
        let shared = &self.0;
        if !shared.admit() {
            return false;
        }
        let found = match shared.open(key).await {
            Ok(found) => found,
            Err(failure) => {
                shared.failed("load an entry", &failure);
                Found::Nothing
            }
        };
        let Some(header) = shared.found(key, found) else {
            return false;
        };
        let (send, mut come) = mpsc::channel(1);
        let all = deliver(shared.source(), Arc::from(header), send);
        let take = async {
            while let Some(piece) = come.recv().await {
                if let Err(failure) = piece {
                    shared.failed("load an entry", &failure);
                    return false;
                }
            }
            shared.breaker.worked();
            true
        };
        tokio::join!(all, take).1
    }

    pub async fn permit(&self, key: &EntryKey) -> Asked {
        if !self.0.coordinates() {
            return Asked::Uncoordinated;
        }
        match self.0.ask_for_permit(*key).await {
            Permit::Exclusive(holder) => Asked::Exclusive(Held(holder)),
            Permit::Held(wait) => Asked::Held(Waiting(wait)),
            Permit::Uncoordinated => Asked::Uncoordinated,
        }
    }

    pub async fn outlast(&self, wait: Waiting, expected: Duration) -> PermitOutcome {
        self.0.outlast(wait.0, expected).await
    }

    /// Leaves an entry to be uploaded, and says whether it will be.
    pub fn put(&self, entry: &SealedEntry<'_>) -> bool {
        self.0.put(entry).is_ok_and(SaveOutcome::is_stored)
    }

    pub fn stats(&self) -> (CacheStats, RemoteStats) {
        (self.0.counters.snapshot(), self.0.remote_stats())
    }
}

impl Held {
    pub fn release(self, outcome: PermitOutcome) {
        self.0.give_back(outcome);
    }
}
