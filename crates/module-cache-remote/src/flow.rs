//! How much comes from a storage at a time, and whether anything does.
//!
//! All loads of a cache share the requests that may be under way, so that many at once on a slow network are slow, one
//! after the other, instead of all being too slow.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::failure::Failure;

/// Parts of entries that are asked for at a time. Each holds less than 1 MiB that has come and is not taken.
pub(crate) const REQUESTS: usize = 16;

/// How many time limits one answer may take, while others come: it may be behind them on a slow network.
const MOST_LIMITS: u32 = 12;

/// What comes from one storage.
#[derive(Debug)]
pub(crate) struct Flow {
    requests: Arc<Semaphore>,
    /// For the ends of entries, which small loads need and nothing else: they do not wait for the parts of large ones.
    opens: Arc<Semaphore>,
    /// How long nothing may come.
    pub(crate) limit: Duration,
    begun: Instant,
    /// Milliseconds from then until something came last.
    last: AtomicU64,
}

impl Flow {
    pub(crate) fn new(limit: Duration, requests: usize) -> Self {
        Self {
            requests: Arc::new(Semaphore::new(requests)),
            opens: Arc::new(Semaphore::new(requests)),
            limit,
            begun: Instant::now(),
            last: AtomicU64::new(0),
        }
    }

    /// Waits until another request may be made: as long as others are being answered.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.turn_of(&self.requests).await
    }

    /// The same before an entry is asked for.
    pub(crate) async fn turn_to_open(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.turn_of(&self.opens).await
    }

    async fn turn_of(&self, turns: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
        // One place in the queue, however long that takes.
        let mut turn = pin!(Arc::clone(turns).acquire_owned());
        loop {
            match timeout(self.limit, &mut turn).await {
                Ok(turn) => return turn.map_err(|_| Failure::NoThread),
                Err(_) if self.is_silent() => return Err(Failure::TimedOut(self.limit)),
                Err(_) => {}
            }
        }
    }

    /// Does what is to bring something within the limit, or later as long as something else comes.
    pub(crate) async fn within_limit<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let mut work = pin!(work);
        let result = loop {
            match timeout(self.limit, &mut work).await {
                Ok(result) => break result,
                // It may be behind others, on a connection or in the network.
                Err(_) if !self.is_silent() && begun.elapsed() < self.limit * MOST_LIMITS => {}
                Err(_) => break Err(Failure::TimedOut(self.limit)),
            }
        };
        if result.is_ok() {
            self.came();
        }
        result
    }

    /// Something came.
    pub(crate) fn came(&self) {
        let since = Instant::now() - self.begun;
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.last.fetch_max(since, Ordering::Relaxed);
    }

    /// Whether nothing has come for as long as one request may take: it is not only this one that hangs.
    pub(crate) fn is_silent(&self) -> bool {
        let last = self.begun + Duration::from_millis(self.last.load(Ordering::Relaxed));
        last.elapsed() >= self.limit
    }
}
