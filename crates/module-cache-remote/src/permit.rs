//! A permit to compile, for one host at a time: a lease that outlives its guard until what was compiled is
//! uploaded, so that those who wait find it.

use std::sync::Arc;
use std::time::Duration;

use module_cache_core::EntryKey;
use module_cache_core::permit::{CompilePermit, PermitOutcome};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::failure::Failure;
use crate::lease::{Asked, Lease, Watch};
use crate::shared::Shared;
use crate::uploads::Ticket;
use crate::{io_thread, layout};

/// The answer to somebody who asks for a permit.
pub(crate) enum Permit {
    Exclusive(Holder),
    Held(Wait),
    Uncoordinated,
}

/// Who waits for a permit, and what for.
pub(crate) enum Wait {
    /// For another thread of this process.
    Local(Arc<tokio::sync::Mutex<()>>),
    /// For another host.
    Lease(Box<Watch>),
}

impl Shared {
    /// Asks for a permit to compile, without waiting for another host.
    pub(crate) fn permit(self: &Arc<Self>, key: &EntryKey) -> CompilePermit {
        if !self.coordinates() {
            return CompilePermit::Uncoordinated;
        }
        let (shared, key) = (Arc::clone(self), *key);
        let asked = io_thread::run_unlimited(async move { Ok(shared.ask_for_permit(key).await) });
        match asked.unwrap_or(Permit::Uncoordinated) {
            Permit::Exclusive(holder) => {
                CompilePermit::exclusive_until(move |outcome| holder.give_back(outcome))
            }
            Permit::Held(wait) => {
                let shared = Arc::clone(self);
                CompilePermit::held(move |expected| {
                    let waited = async move { Ok(shared.outlast(wait, expected).await) };
                    // Without the thread there are no leases, and the caller learns it when it asks again.
                    io_thread::run_unlimited(waited).unwrap_or(PermitOutcome::Unknown)
                })
            }
            Permit::Uncoordinated => CompilePermit::Uncoordinated,
        }
    }

    /// Whether a lease is worth asking for.
    pub(crate) fn coordinates(self: &Arc<Self>) -> bool {
        self.leases
            .as_ref()
            .is_some_and(|leases| !leases.is_resting())
            && !self.read_only()
            && self.admit()
    }

    /// Asks without blocking, on the thread of remote storage, where this [coordinates](Self::coordinates).
    pub(crate) async fn ask_for_permit(self: &Arc<Self>, key: EntryKey) -> Permit {
        let Some(leases) = &self.leases else {
            return Permit::Uncoordinated;
        };
        let local = match self.local_locks.try_lock(&key) {
            Ok(local) => local,
            Err(lock) => return Permit::Held(Wait::Local(lock)),
        };
        let name = layout::lease(&key, self.demands.trust.key_ids().next());
        match leases.ask(name).await {
            Ok(Asked::Acquired { lease, taken_over }) => {
                if taken_over {
                    self.remote.takeovers.add(1);
                    tracing::debug!(%key, "took over the lease of a host that died or hangs");
                }
                Permit::Exclusive(self.hold(key, lease, local))
            }
            Ok(Asked::Held(watch)) => Permit::Held(Wait::Lease(Box::new(watch))),
            Ok(Asked::Useless) => Permit::Uncoordinated,
            Err(failure) => {
                self.lease_failed("take a lease", &failure);
                Permit::Uncoordinated
            }
        }
    }

    pub(crate) async fn outlast(&self, wait: Wait, expected: Duration) -> PermitOutcome {
        self.remote.lease_waits.add(1);
        match wait {
            Wait::Local(lock) => {
                drop(lock.lock_owned().await);
                PermitOutcome::Unknown
            }
            Wait::Lease(watch) => match watch.outlast(expected).await {
                Ok(outcome) => outcome,
                Err(failure @ Failure::Held(_)) => {
                    self.counters.error();
                    tracing::debug!(%failure, "stopped waiting for a lease");
                    PermitOutcome::Unknown
                }
                Err(failure) => {
                    self.lease_failed("wait for a lease", &failure);
                    PermitOutcome::Unknown
                }
            },
        }
    }

    /// Keeps the lease until it is given back and what was compiled is uploaded.
    fn hold(self: &Arc<Self>, key: EntryKey, lease: Lease, local: OwnedMutexGuard<()>) -> Holder {
        let (given_back, dropped) = oneshot::channel();
        let shared = Arc::clone(self);
        shared.uploads.expect(key);
        tokio::spawn(async move {
            let uploaded = async {
                let (outcome, ticket) = dropped.await.unwrap_or((PermitOutcome::Unknown, None));
                shared.uploads.finished(&key).await;
                let is_there = shared.uploads.has_stored(&key);
                let outcome = match outcome {
                    // It may be stored in front of this storage, and not here.
                    PermitOutcome::Stored | PermitOutcome::NotStored => {
                        if is_there {
                            PermitOutcome::Stored
                        } else {
                            PermitOutcome::NotStored
                        }
                    }
                    outcome => outcome,
                };
                (outcome, ticket)
            };
            let ticket = lease.keep_until(uploaded).await;
            // In this order: another thread of ours finds the lease gone.
            drop(local);
            drop(ticket);
        });
        Holder {
            shared: Arc::clone(self),
            given_back,
        }
    }
}

/// Held by whoever compiles.
pub(crate) struct Holder {
    shared: Arc<Shared>,
    given_back: oneshot::Sender<(PermitOutcome, Option<Ticket>)>,
}

impl Holder {
    pub(crate) fn give_back(self, outcome: PermitOutcome) {
        let ticket = self.shared.uploads.admit_release();
        let _ = self.given_back.send((outcome, Some(ticket)));
    }
}
