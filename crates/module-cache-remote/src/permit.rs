//! Leave to compile, for one host at a time: a lease that outlives its guard until what was compiled is
//! uploaded, so that those who wait find it.

use std::sync::Arc;

use module_cache_core::{CompilePermit, EntryKey};
use tokio::sync::oneshot;

use crate::failure::Failure;
use crate::layout;
use crate::shared::Shared;
use crate::uploads::Ticket;

/// Asks for leave, waiting while somebody else has it.
pub(crate) async fn acquire(shared: &Arc<Shared>, key: EntryKey) -> Result<CompilePermit, Failure> {
    let Some(leases) = &shared.leases else {
        return Ok(CompilePermit::Uncoordinated);
    };
    let local = shared.local_locks.lock(&key).await;
    let Some(lease) = leases.acquire(layout::lease(&key)).await? else {
        return Ok(CompilePermit::Waited);
    };
    if lease.taken_over {
        shared.remote.takeovers.add(1);
        tracing::debug!(%key, "took over the lease of a host that died or hangs");
    }
    let (given_back, dropped) = oneshot::channel();
    let holder = Arc::clone(shared);
    tokio::spawn(async move {
        let uploaded = async {
            let ticket: Option<Ticket> = dropped.await.ok();
            holder.uploads.settled(&key).await;
            ticket
        };
        let ticket = lease.keep_until(uploaded).await;
        // In this order: another thread of ours finds the lease gone.
        drop(local);
        drop(ticket);
    });
    Ok(CompilePermit::exclusive(Guard {
        shared: Arc::clone(shared),
        given_back: Some(given_back),
    }))
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
