//! Leases: who of a fleet compiles a module at the moment.
//!
//! A lease is a small record in the storage that its holder made where there was none, and renews until it is
//! done. A record that has not changed for a whole term, by the watcher's own monotonic clock, belongs to
//! nobody any more and is taken over by compare-and-swap; clocks of two machines are never compared. A record
//! is never deleted to make another in its place, so two watchers cannot both succeed.

mod object_records;
#[cfg(feature = "redis")]
mod redis_records;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

pub(crate) use object_records::ObjectRecords;
#[cfg(feature = "redis")]
pub(crate) use redis_records::RedisRecords;

use crate::failure::Failure;
use crate::io_thread::in_time;

/// How often somebody who waits looks, at first and later.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// After so many terms, whoever waits stops: its holder hangs and still renews the lease, or it is renewed by
/// somebody who has no key and only wants others to wait.
const LONGEST_WAIT: u32 = 60;

/// Where records are kept, and for how long they are believed.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    pub(crate) records: Records,
    pub(crate) term: Duration,
    /// For one request.
    pub(crate) time_limit: Duration,
    /// By name, until somebody of this process asks for the lease again.
    watched: Arc<Mutex<HashMap<String, Watched>>>,
}

/// A storage of records with create-if-absent and compare-and-swap.
#[derive(Debug, Clone)]
pub(crate) enum Records {
    Objects(ObjectRecords),
    #[cfg(feature = "redis")]
    Redis(RedisRecords),
}

/// One state of a record, told from every other state that it had.
#[derive(Debug, Clone)]
pub(crate) enum Version {
    Object(Box<opendal::Metadata>),
    #[cfg(feature = "redis")]
    Redis(String),
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            // The rest of the metadata says nothing of the state.
            (Self::Object(one), Self::Object(other)) => {
                (one.version(), one.etag()) == (other.version(), other.etag())
            }
            #[cfg(feature = "redis")]
            (Self::Redis(one), Self::Redis(other)) => one == other,
            #[cfg(feature = "redis")]
            _ => false,
        }
    }
}

/// A lease that is held.
#[derive(Debug)]
pub(crate) struct Lease {
    leases: Leases,
    name: String,
    owner: Owner,
    renewals: u64,
    version: Version,
    /// No later than the storage wrote the version.
    written: Instant,
}

/// The answer to somebody who asks for a lease.
#[derive(Debug)]
pub(crate) enum Asked {
    Acquired {
        lease: Lease,
        /// From a holder that did not renew it.
        taken_over: bool,
    },
    /// Somebody else has it.
    Held(Watch),
    /// Somebody else has had it for too long.
    GivenUp,
}

/// Watches a lease of somebody else.
#[derive(Debug)]
pub(crate) struct Watch {
    leases: Leases,
    name: String,
    /// The record, and since when it has been what it is.
    seen: Version,
    since: Instant,
    begun: Instant,
}

/// What came of watching a lease that was not given back.
#[derive(Debug)]
enum Watched {
    /// It was not renewed for a term. This is what it was then.
    Expired(Version),
    /// It was renewed for too long.
    GivenUp,
}

impl Leases {
    pub(crate) fn new(records: Records, term: Duration, time_limit: Duration) -> Self {
        Self {
            records,
            term,
            time_limit,
            watched: Arc::default(),
        }
    }

    /// Asks for the lease called `name`, in two requests, or three if it is taken over.
    pub(crate) async fn ask(&self, name: String) -> Result<Asked, Failure> {
        let owner = Owner::new()?;
        let body = owner.body(0);
        let watched = self.watched.lock().remove(&name);
        loop {
            let begun = Instant::now();
            let created = self.records.create(&name, &body);
            if let Some(version) = self.limited(created).await? {
                return Ok(self.acquired(name, owner, version, begun, false));
            }
            let begun = Instant::now();
            // Given back in between, where there is none.
            let Some((seen, found)) = self.limited(self.records.read(&name)).await? else {
                continue;
            };
            // A request that was repeated after a lost answer met its own first attempt.
            if owner.wrote(&found) {
                return Ok(self.acquired(name, owner, seen, begun, false));
            }
            match &watched {
                Some(Watched::GivenUp) => return Ok(Asked::GivenUp),
                Some(Watched::Expired(version)) if *version == seen => {
                    let begun = Instant::now();
                    let replaced = self.records.replace(&name, &seen, &body);
                    if let Some(version) = self.limited(replaced).await? {
                        return Ok(self.acquired(name, owner, version, begun, true));
                    }
                    // Somebody was faster, or this is the answer to a repeated request.
                }
                _ => {
                    let (leases, since) = (self.clone(), Instant::now());
                    return Ok(Asked::Held(Watch {
                        leases,
                        name,
                        seen,
                        since,
                        begun: since,
                    }));
                }
            }
        }
    }

    fn acquired(
        &self,
        name: String,
        owner: Owner,
        version: Version,
        written: Instant,
        taken_over: bool,
    ) -> Asked {
        let lease = Lease {
            leases: self.clone(),
            name,
            owner,
            renewals: 0,
            version,
            written,
        };
        Asked::Acquired { lease, taken_over }
    }

    async fn limited<T>(
        &self,
        request: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        in_time(self.time_limit, request).await
    }
}

impl Watch {
    /// Waits until the lease is given back, or was not renewed for a term, so that who asks next takes it over. An
    /// error when that takes too long, and whoever asks next is told so.
    pub(crate) async fn outlast(mut self) -> Result<(), Failure> {
        let leases = self.leases.clone();
        let mut pause = FIRST_PAUSE;
        loop {
            let waited = self.begun.elapsed();
            if waited >= leases.term * LONGEST_WAIT {
                leases.watched.lock().insert(self.name, Watched::GivenUp);
                return Err(Failure::Held(waited));
            }
            sleep(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            let read = leases.records.read(&self.name);
            let Some((version, _)) = leases.limited(read).await? else {
                return Ok(());
            };
            if version != self.seen {
                (self.seen, self.since) = (version, Instant::now());
            } else if self.since.elapsed() >= leases.term {
                let expired = Watched::Expired(version);
                leases.watched.lock().insert(self.name, expired);
                return Ok(());
            }
        }
    }
}

impl Lease {
    /// Keeps the lease until `done`, gives it back, and returns what that gave.
    pub(crate) async fn keep_until<T>(mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                output = &mut done => {
                    self.release().await;
                    return output;
                }
                () = sleep(self.leases.term / 3) => {}
            }
            match self.renew().await {
                Ok(true) => {}
                Ok(false) => {
                    tracing::debug!(name = self.name, "a lease was lost to somebody else");
                    return done.await;
                }
                // The next attempt may succeed; if none does, somebody takes over.
                Err(failure) => {
                    tracing::debug!(name = self.name, %failure, "a lease was not renewed");
                }
            }
        }
    }

    /// Says whether it still is this holder's.
    async fn renew(&mut self) -> Result<bool, Failure> {
        self.renewals += 1;
        let body = self.owner.body(self.renewals);
        let begun = Instant::now();
        let leases = &self.leases;
        let replaced = leases.records.replace(&self.name, &self.version, &body);
        let mut version = leases.limited(replaced).await?;
        if version.is_none() {
            // Perhaps an earlier attempt succeeded and its answer was lost.
            version = match leases.limited(leases.records.read(&self.name)).await? {
                Some((version, found)) if self.owner.wrote(&found) => Some(version),
                _ => None,
            };
        }
        let Some(version) = version else {
            return Ok(false);
        };
        self.version = version;
        self.written = begun;
        Ok(true)
    }

    /// Removes the record, unless it may be somebody else's by now.
    async fn release(self) {
        // Nobody takes over what changed within a term; half of one is left for the request itself.
        if self.written.elapsed() > self.leases.term / 2 {
            tracing::debug!(
                name = self.name,
                "a lease was not renewed in time and is left to expire"
            );
            return;
        }
        let removed = self.leases.records.remove(&self.name, &self.version);
        if let Err(failure) = self.leases.limited(removed).await {
            tracing::debug!(name = self.name, %failure, "a lease is left to expire");
        }
    }
}

impl Records {
    /// Makes a record where there is none; `None` where there is one.
    async fn create(&self, name: &str, body: &str) -> Result<Option<Version>, Failure> {
        match self {
            Self::Objects(records) => records.create(name, body).await,
            #[cfg(feature = "redis")]
            Self::Redis(records) => records.create(name, body).await,
        }
    }

    async fn read(&self, name: &str) -> Result<Option<(Version, String)>, Failure> {
        match self {
            Self::Objects(records) => records.read(name).await,
            #[cfg(feature = "redis")]
            Self::Redis(records) => records.read(name).await,
        }
    }

    /// Writes the record anew if it is in this state; `None` if it is not.
    async fn replace(
        &self,
        name: &str,
        version: &Version,
        body: &str,
    ) -> Result<Option<Version>, Failure> {
        match (self, version) {
            (Self::Objects(records), Version::Object(seen)) => {
                records.replace(name, seen, body).await
            }
            #[cfg(feature = "redis")]
            (Self::Redis(records), Version::Redis(seen)) => records.replace(name, seen, body).await,
            #[cfg(feature = "redis")]
            _ => Ok(None),
        }
    }

    /// Removes the record if it is in this state.
    async fn remove(&self, name: &str, version: &Version) -> Result<(), Failure> {
        match (self, version) {
            (Self::Objects(records), Version::Object(seen)) => records.remove(name, seen).await,
            #[cfg(feature = "redis")]
            (Self::Redis(records), Version::Redis(seen)) => records.remove(name, seen).await,
            #[cfg(feature = "redis")]
            _ => Ok(()),
        }
    }
}

/// Whoever asks, told from everybody else who ever did.
#[derive(Debug, Clone, Copy)]
struct Owner(u128);

impl Owner {
    fn new() -> Result<Self, Failure> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(std::io::Error::from)?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }

    /// A record of this owner. Each renewal has another one, or it would not change.
    fn body(self, renewals: u64) -> String {
        format!("{self} {renewals}\n")
    }

    fn wrote(self, body: &str) -> bool {
        body.split(' ').next() == Some(self.to_string().as_str())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// Between half of it and all of it, so that a fleet does not ask in step.
fn jittered(pause: Duration) -> Duration {
    let part = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    pause.mul_f64(0.5 + part / 2.0)
}
