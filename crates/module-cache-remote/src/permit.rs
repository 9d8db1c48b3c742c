//! A permit to compile, for one host at a time: a lease that outlives its guard until what was compiled is
//! uploaded, so that those who wait find it.

use std::sync::Arc;

use module_cache_core::{CompilePermit, EntryKey, PermitGuard};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::failure::Failure;
use crate::lease::{Asked, Lease};
use crate::shared::Shared;
use crate::uploads::Ticket;
use crate::{io_thread, layout};

impl Shared {
    /// Asks for a permit to compile, without waiting for another host.
    pub(crate) fn permit(self: &Arc<Self>, key: &EntryKey) -> CompilePermit {
        if self.leases.is_none() || self.read_only() || !self.admit() {
            return CompilePermit::Uncoordinated;
        }
        let (shared, key) = (Arc::clone(self), *key);
        io_thread::run_unlimited(async move { ask(&shared, key).await }).unwrap_or_else(|failure| {
            self.write_failed("take a lease", &failure);
            CompilePermit::Uncoordinated
        })
    }
}

async fn ask(shared: &Arc<Shared>, key: EntryKey) -> Result<CompilePermit, Failure> {
    let Some(leases) = &shared.leases else {
        return Ok(CompilePermit::Uncoordinated);
    };
    let local = match shared.local_locks.try_lock(&key) {
        Ok(local) => local,
        Err(lock) => {
            return Ok(CompilePermit::held(move || {
                let released = async move {
                    drop(lock.lock_owned().await);
                    Ok(())
                };
                // Without the thread there are no leases, and the caller learns it when it asks again.
                let _ = io_thread::run_unlimited(released);
            }));
        }
    };
    Ok(
        match leases
            .ask(layout::lease(&key, shared.demands.trust.key_ids().next()))
            .await?
        {
            Asked::Acquired { lease, taken_over } => {
                if taken_over {
                    shared.remote.takeovers.add(1);
                    tracing::debug!(%key, "took over the lease of a host that died or hangs");
                }
                CompilePermit::Exclusive(keep(shared, key, lease, local))
            }
            Asked::Held(watch) => {
                let shared = Arc::clone(shared);
                CompilePermit::held(move || {
                    if let Err(failure) = io_thread::run_unlimited(watch.outlast()) {
                        shared.write_failed("wait for a lease", &failure);
                    }
                })
            }
            Asked::GivenUp => CompilePermit::Uncoordinated,
        },
    )
}

/// Keeps the lease until the guard is dropped and what was compiled is uploaded.
fn keep(
    shared: &Arc<Shared>,
    key: EntryKey,
    lease: Lease,
    local: OwnedMutexGuard<()>,
) -> PermitGuard {
    let (given_back, dropped) = oneshot::channel();
    let holder = Arc::clone(shared);
    tokio::spawn(async move {
        let uploaded = async {
            let ticket: Option<Ticket> = dropped.await.ok();
            holder.uploads.finished(&key).await;
            ticket
        };
        let ticket = lease.keep_until(uploaded).await;
        // In this order: another thread of ours finds the lease gone.
        drop(local);
        drop(ticket);
    });
    Box::new(Guard {
        shared: Arc::clone(shared),
        given_back: Some(given_back),
    })
}

/// Held by whoever compiles.
struct Guard {
    shared: Arc<Shared>,
    given_back: Option<oneshot::Sender<Ticket>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(given_back) = self.given_back.take() {
            let _ = given_back.send(self.shared.uploads.admit_release());
        }
    }
}
