//! Leases: who of a fleet compiles a module at the moment.
//!
//! A lease is a small record in the storage that its holder made where there was none, and renews until it is
//! done. A record that has not changed for a whole term, by the watcher's own monotonic clock, belongs to
//! nobody any more and is taken over by compare-and-swap; clocks of two machines are never compared. A record
//! is never deleted to make another in its place, so two watchers cannot both succeed.
//!
//! Whoever waits looks at the record: often towards the end of what compiling is expected to take, and less and less often
//! behind it.

mod object_records;
mod record;
#[cfg(feature = "redis")]
mod redis_records;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use module_cache_core::permit::PermitOutcome;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

pub(crate) use object_records::ObjectRecords;
use record::{Owner, State};
#[cfg(feature = "redis")]
pub(crate) use redis_records::RedisRecords;

use crate::attempts::Attempts;
use crate::failure::Failure;
use crate::io_thread::in_time;
use crate::random::Random;
use crate::stats::RemoteCounters;

/// The shortest pause between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);

/// A look at the record comes when this part of what is left has passed, and behind the expected end after this part of what
/// was expected.
const OF_WHAT_IS_LEFT: f64 = 0.9;
const OF_WHAT_WAS_EXPECTED: f64 = 1.0 / 8.0;

/// By how much the pauses grow behind the expected end.
const GROWTH: f64 = 1.5;

/// A wait ends after so many times what compiling is expected to take, and some terms: what was expected may be wrong, and a
/// holder may be taken over from.
const MOST_EXPECTED: u32 = 3;
const MOST_TERMS: u32 = 2;

/// The same for what takes no time to speak of.
const MOST_FOR_SMALL: u32 = 20;

/// For so long no lease is asked for after one could not be had.
const REST: Duration = Duration::from_mins(1);

/// What is known of more records than this is forgotten.
const MOST_WATCHED: usize = 1000;

/// How often somebody asks for a lease that others take and give back in between.
const ATTEMPTS: u32 = 4;

/// Where records are kept, and for how long they are believed.
#[derive(Debug, Clone)]
pub(crate) struct Leases {
    records: Records,
    pub(crate) term: Duration,
    /// For one request: of several, one may fail.
    time_limit: Duration,
    random: Random,
    remote: Arc<RemoteCounters>,
    /// When one last could not be asked for, renewed, watched or given back.
    failed: Arc<Mutex<Option<Instant>>>,
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
    /// It is of no use: somebody else has had it for too long, or what the last holder compiled is not stored.
    Useless,
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
    /// For how long its holder had it at the beginning.
    age: Duration,
}

/// What is known of a record that somebody may take over.
#[derive(Debug)]
enum Watched {
    /// It was not renewed for a term. This is what it was then.
    Expired(Version),
    /// It was renewed for too long.
    GivenUp(Instant),
    /// It says since then that nothing will be stored.
    Useless(Version, Instant),
}

impl Leases {
    pub(crate) fn new(
        records: Records,
        term: Duration,
        time_limit: Duration,
        random: Random,
        remote: Arc<RemoteCounters>,
    ) -> Self {
        Self {
            records,
            term,
            time_limit: time_limit.min(term / 6),
            random,
            remote,
            failed: Arc::default(),
            watched: Arc::default(),
        }
    }

    /// Asks for the lease called `name`, in one request if somebody has it, and in two or three if not.
    pub(crate) async fn ask(&self, name: String) -> Result<Asked, Failure> {
        let owner = Owner::new(&self.random);
        let body = owner.record(State::Held { renewals: 0 });
        let watched = self.watched.lock().remove(&name);
        for _ in 0..ATTEMPTS {
            // Mostly there is one, and to read costs less than to write.
            let begun = Instant::now();
            let Some((seen, found)) = self.limited(|| self.records.read(&name)).await? else {
                let begun = Instant::now();
                let created = || self.records.create(&name, &body);
                if let Some(version) = self.limited(created).await? {
                    return Ok(self.acquired(name, owner, version, begun, false));
                }
                continue;
            };
            // A request that was repeated after a lost answer met its own first attempt.
            if owner.wrote(&found) {
                return Ok(self.acquired(name, owner, seen, begun, false));
            }
            let state = State::of(&found);
            match (state, &watched) {
                (State::Free, _) => {}
                (State::Held { .. }, Some(Watched::Expired(version))) if *version == seen => {}
                (State::Held { .. }, Some(Watched::GivenUp(at))) if at.elapsed() < self.term => {
                    self.note(name, Watched::GivenUp(*at));
                    return Ok(Asked::Useless);
                }
                (State::Held { renewals }, _) => {
                    return Ok(Asked::Held(self.watch(name, seen, renewals)));
                }
                (State::NotStored | State::Failed, known) => {
                    let since = match known {
                        Some(Watched::Useless(version, since)) if *version == seen => *since,
                        _ => begun,
                    };
                    if since.elapsed() < self.term {
                        self.note(name, Watched::Useless(seen, since));
                        return Ok(Asked::Useless);
                    }
                }
            }
            let begun = Instant::now();
            let replaced = || self.records.replace(&name, &seen, &body);
            if let Some(version) = self.limited(replaced).await? {
                let is_dead = matches!(state, State::Held { .. });
                return Ok(self.acquired(name, owner, version, begun, is_dead));
            }
            // Somebody was faster, or this is the answer to a repeated request.
        }
        Ok(Asked::Useless)
    }

    fn watch(&self, name: String, seen: Version, renewals: u64) -> Watch {
        let now = Instant::now();
        Watch {
            leases: self.clone(),
            name,
            seen,
            since: now,
            begun: now,
            age: (self.term / 3).saturating_mul(u32::try_from(renewals).unwrap_or(u32::MAX)),
        }
    }

    fn note(&self, name: String, known: Watched) {
        let mut watched = self.watched.lock();
        if watched.len() >= MOST_WATCHED {
            watched.clear();
        }
        watched.insert(name, known);
    }

    /// Asks for none for a while, and says whether that is news.
    pub(crate) fn rest(&self) -> bool {
        self.failed.lock().replace(Instant::now()).is_none()
    }

    pub(crate) fn is_resting(&self) -> bool {
        let failed = *self.failed.lock();
        failed.is_some_and(|at| at.elapsed() < REST)
    }

    /// A record that is held could not be written.
    fn not_written(&self, failure: &Failure) {
        self.remote.failed_leases.add(1);
        // Those who watch it take its holder for dead, and would do so with the next.
        if failure.is_refusal() {
            self.rest();
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

    /// Does a request, within its limit, and again for half a term if the storage has too much to do.
    async fn limited<T, R>(&self, request: impl Fn() -> R) -> Result<T, Failure>
    where
        R: Future<Output = Result<T, Failure>>,
    {
        Attempts::new(&self.remote, &self.random, self.term / 2)
            .at(|| in_time(self.time_limit, request()))
            .await
    }
}

impl Watch {
    /// Waits until the holder is done, or did not renew its lease for a term, so that who asks next takes it over. An
    /// error when that takes longer than compiling is worth, and whoever asks next is told so.
    pub(crate) async fn outlast(mut self, expected: Duration) -> Result<PermitOutcome, Failure> {
        let leases = self.leases.clone();
        let patience = (leases.term * MOST_TERMS)
            .min(expected.saturating_mul(MOST_FOR_SMALL))
            .saturating_add(expected.saturating_mul(MOST_EXPECTED));
        let mut pauses = Pauses::new(expected.saturating_sub(self.age), expected);
        loop {
            let waited = self.begun.elapsed();
            if waited >= patience {
                leases.note(self.name, Watched::GivenUp(Instant::now()));
                return Err(Failure::Held(waited));
            }
            // Not longer than it takes to find that the holder is dead.
            let pause = pauses.next(waited).min(leases.term / 2);
            sleep(
                leases
                    .random
                    .jittered(pause)
                    .min(patience.saturating_sub(waited)),
            )
            .await;
            let read = leases.records.read(&self.name);
            let read = match in_time(leases.time_limit, read).await {
                // Whoever has too much to do is asked less often.
                Err(failure) if failure.is_throttling() => {
                    pauses.shortest *= 2;
                    continue;
                }
                read => read?,
            };
            let Some((version, found)) = read else {
                return Ok(PermitOutcome::Stored);
            };
            match State::of(&found) {
                State::Free => return Ok(PermitOutcome::Unknown),
                useless @ (State::NotStored | State::Failed) => {
                    leases.note(self.name, Watched::Useless(version, Instant::now()));
                    return Ok(useless.outcome());
                }
                State::Held { .. } => {}
            }
            if version != self.seen {
                (self.seen, self.since) = (version, Instant::now());
            } else if self.since.elapsed() >= leases.term {
                leases.note(self.name, Watched::Expired(version));
                return Ok(PermitOutcome::Unknown);
            }
        }
    }
}

/// When to look.
struct Pauses {
    /// How long is left, as far as it is known.
    left: Duration,
    shortest: Duration,
}

impl Pauses {
    fn new(left: Duration, expected: Duration) -> Self {
        Self {
            left,
            shortest: SHORTEST_PAUSE.max(expected.mul_f64(OF_WHAT_WAS_EXPECTED)),
        }
    }

    fn next(&mut self, waited: Duration) -> Duration {
        let left = self.left.saturating_sub(waited).mul_f64(OF_WHAT_IS_LEFT);
        if left > self.shortest {
            return left;
        }
        let pause = self.shortest;
        self.shortest = pause.mul_f64(GROWTH);
        pause
    }
}

impl Lease {
    /// Keeps the lease until `done`, and gives it back with the outcome that it had.
    pub(crate) async fn keep_until<T>(
        mut self,
        done: impl Future<Output = (PermitOutcome, T)>,
    ) -> T {
        let mut done = std::pin::pin!(done);
        let mut pause = self.leases.term / 3;
        loop {
            tokio::select! {
                biased;
                (outcome, output) = &mut done => {
                    self.release(outcome).await;
                    return output;
                }
                () = sleep(pause) => {}
            }
            pause = match self.renew().await {
                Ok(true) => self.leases.term / 3,
                Ok(false) => {
                    tracing::debug!(name = self.name, "another host took over a lease");
                    return done.await.1;
                }
                // There is time for some more attempts; if none succeeds, somebody takes over.
                Err(failure) => {
                    tracing::debug!(name = self.name, %failure, "a lease was not renewed");
                    self.leases.not_written(&failure);
                    self.leases.term / 12
                }
            }
        }
    }

    /// Says whether it still is this holder's.
    async fn renew(&mut self) -> Result<bool, Failure> {
        self.renewals += 1;
        let renewals = self.renewals;
        self.write(State::Held { renewals }).await
    }

    async fn write(&mut self, state: State) -> Result<bool, Failure> {
        let body = self.owner.record(state);
        let begun = Instant::now();
        let leases = &self.leases;
        let replaced = || leases.records.replace(&self.name, &self.version, &body);
        let mut version = leases.limited(replaced).await?;
        if version.is_none() {
            // Perhaps an earlier attempt succeeded and its answer was lost.
            version = match leases.limited(|| leases.records.read(&self.name)).await? {
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

    /// Gives the record up, unless it may be somebody else's by now.
    async fn release(mut self, outcome: PermitOutcome) {
        // Nobody takes over what changed within a term; half of one is left for the request itself.
        if self.written.elapsed() > self.leases.term / 2 {
            tracing::debug!(
                name = self.name,
                "a lease was not renewed in time and is left to expire"
            );
            return;
        }
        let state = State::left_by(outcome);
        let released = match (state, &self.leases.records, &self.version) {
            // Of objects, a record that is free stays: there are servers that would remove another one's.
            #[cfg(feature = "redis")]
            (State::Free, Records::Redis(records), Version::Redis(version)) => {
                let removed = || records.remove(&self.name, version);
                self.leases.limited(removed).await
            }
            (state, ..) => self.write(state).await.map(drop),
        };
        if let Err(failure) = released {
            tracing::debug!(name = self.name, %failure, "a lease is left to expire");
            self.leases.not_written(&failure);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When somebody looks who waits for so long, and expects that.
    fn looks(expected: Duration, waits: Duration) -> Vec<Duration> {
        let mut pauses = Pauses::new(expected, expected);
        let (mut looks, mut now) = (Vec::new(), Duration::ZERO);
        while now < waits {
            now += pauses.next(now);
            looks.push(now);
        }
        looks
    }

    #[test]
    fn those_who_wait_look_seldom_and_soon_after_the_end() {
        for seconds in [1, 10, 100] {
            let expected = Duration::from_secs(seconds);
            for (takes, most_looks, most_late) in [(0.5, 1, 0.5), (1.0, 2, 0.15), (2.0, 6, 0.6)] {
                let takes = expected.mul_f64(takes);
                let looks = looks(expected, takes);
                assert!(looks.len() <= most_looks, "{seconds} {looks:?}");
                let late = looks.last().unwrap().saturating_sub(takes);
                assert!(late <= expected.mul_f64(most_late), "{seconds} {looks:?}");
            }
        }
    }
}
