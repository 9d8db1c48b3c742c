//! How often something is tried, and how long between: what failed for a moment twice more and soon, and what a storage refused
//! that has too much to do later and later, as it would only have more to do.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::failure::Failure;
use crate::random::Random;
use crate::stats::RemoteCounters;

const MOST_FAILURES: u32 = 2;
const FAILURE_PAUSE: Duration = Duration::from_millis(50);
const THROTTLE_PAUSE: Duration = Duration::from_millis(250);

/// The attempts at one request.
pub(crate) struct Attempts<'a> {
    remote: &'a RemoteCounters,
    random: &'a Random,
    until: Instant,
    failures: u32,
    throttle_pause: Duration,
}

impl<'a> Attempts<'a> {
    /// Attempts that end after so long, if the storage has too much to do.
    pub(crate) fn new(remote: &'a RemoteCounters, random: &'a Random, limit: Duration) -> Self {
        Self {
            remote,
            random,
            until: Instant::now() + limit,
            failures: 0,
            throttle_pause: THROTTLE_PAUSE,
        }
    }

    /// Does the work until it succeeds, or is not to be tried again.
    pub(crate) async fn at<T, R>(mut self, work: impl Fn() -> R) -> Result<T, Failure>
    where
        R: Future<Output = Result<T, Failure>>,
    {
        loop {
            let answer = work().await;
            match &answer {
                Err(failure) if self.another_after(failure).await => {}
                _ => return answer,
            }
        }
    }

    /// Waits before another attempt after this failure, if there is to be one.
    pub(crate) async fn another_after(&mut self, failure: &Failure) -> bool {
        let pause = if failure.is_throttling() {
            self.remote.throttled.add(1);
            let pause = self.throttle_pause;
            self.throttle_pause *= 2;
            if Instant::now() + pause > self.until {
                return false;
            }
            pause
        } else if failure.is_temporary() && self.failures < MOST_FAILURES {
            self.failures += 1;
            self.remote.retries.add(1);
            tracing::debug!(%failure, "retrying a request to the remote storage");
            FAILURE_PAUSE * (1 << (2 * self.failures))
        } else {
            return false;
        };
        sleep(self.random.jittered(pause)).await;
        true
    }
}
