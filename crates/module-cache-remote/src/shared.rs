//! What the handles of a cache share with the work they left to the background: how the storage is asked,
//! and what is remembered of its answers.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::iter;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt as _, StreamExt};
use module_cache_core::entry::{Promotion, next_accepted};
use module_cache_core::{
    Counters, EngineId, EntryKey, EntryStore, InvalidEntry, SaveOutcome, SealedEntry, SkipReason,
};
use opendal::{ErrorKind, Operator};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::attempts::Attempts;
use crate::breaker::{Admission, Breaker};
use crate::builder::{LeaseChoice, RemoteCacheBuilder};
use crate::failure::Failure;
use crate::fetch::{self, Demands, Found, Header, Refusal};
use crate::flow::Flow;
use crate::index::Index;
#[cfg(feature = "redis")]
use crate::lease::RedisRecords;
use crate::lease::{Leases, ObjectRecords, Records};
use crate::local_locks::LocalLocks;
use crate::pieces::{Pieces, Source};
use crate::random::Random;
use crate::sample::Sample;
use crate::stats::{RemoteCounters, RemoteStats};
use crate::uploads::{Admitted, Ticket, Uploads};
use crate::{codec, error_bodies, io_thread, layout};

/// Uploads that run at a time, so that one large entry does not hold up the rest.
const CONCURRENT_UPLOADS: usize = 4;

/// An upload that is slower than this, in bytes a second, is given up: several share the way out.
const SLOWEST_UPLOAD: u64 = 128 << 10;

/// For so long nothing is written to a storage that refused it: rights and credentials change.
const REFUSAL_BACKOFF: Duration = Duration::from_mins(1);

/// How many time limits an upload has beside that, and for how many it is tried again where the storage has too much to do.
const UPLOAD_LIMITS: u32 = 6;

/// Entries found bad that are remembered, so that a save replaces them.
const MOST_SUSPECTS: usize = 1000;

pub(crate) struct Shared {
    pub(crate) operator: Operator,
    pub(crate) demands: Demands,
    pub(crate) leases: Option<Leases>,
    pub(crate) local_locks: LocalLocks,
    pub(crate) uploads: Uploads,
    /// How often an entry of [`sample`](Self::sample) is looked for here.
    pub(crate) backfill: Option<Duration>,
    pub(crate) sample: Mutex<Sample>,
    pub(crate) index: Index,
    pub(crate) breaker: Breaker,
    pub(crate) counters: Counters,
    pub(crate) remote: Arc<RemoteCounters>,
    pub(crate) flow: Arc<Flow>,
    pub(crate) time_limit: Duration,
    /// Whether a save waits where the queue is full, instead of being dropped.
    waits_for_room: bool,
    never_writes: bool,
    pub(crate) random: Random,
    upload_slots: Semaphore,
    /// When the storage last refused a write.
    write_refused: Mutex<Option<Instant>>,
    /// What was found bad here. It is not deleted: a proxy in between proves nothing about the storage.
    suspects: Mutex<HashSet<EntryKey>>,
    /// What went wrong since the last flush.
    upload_failure: Mutex<Option<Failure>>,
    warned_of_entries: AtomicBool,
}

impl Shared {
    pub(crate) fn new(options: RemoteCacheBuilder) -> Self {
        let remote = Arc::new(RemoteCounters::default());
        let operator = error_bodies::shortened(options.operator);
        let random = options
            .seed
            .map_or_else(Random::from_system, Random::from_seed);
        let records = match options.leases {
            LeaseChoice::Off => None,
            LeaseChoice::Objects => ObjectRecords::new(operator.clone()).map(Records::Objects),
            #[cfg(feature = "redis")]
            LeaseChoice::Redis { client, prefix } => Some(Records::Redis(RedisRecords::new(
                *client,
                prefix,
                options.lease_term,
            ))),
        };
        Self {
            demands: Demands {
                trust: options.trust,
                max_entry_size: options.max_entry_size,
            },
            leases: records.map(|records| {
                let (term, limit) = (options.lease_term, options.time_limit);
                Leases::new(records, term, limit, random.clone(), Arc::clone(&remote))
            }),
            local_locks: LocalLocks::default(),
            uploads: Uploads::new(options.queue_count, options.queue_bytes),
            backfill: options.backfill,
            sample: Mutex::default(),
            index: Index::default(),
            breaker: Breaker::new(),
            counters: Counters::default(),
            remote,
            flow: Arc::new(Flow::new(options.time_limit, options.concurrency)),
            time_limit: options.time_limit,
            waits_for_room: options.waits_for_room,
            never_writes: options.read_only,
            random,
            upload_slots: Semaphore::new(CONCURRENT_UPLOADS),
            write_refused: Mutex::default(),
            suspects: Mutex::default(),
            upload_failure: Mutex::default(),
            warned_of_entries: AtomicBool::new(false),
            operator,
        }
    }

    /// Whether the storage may be asked. It is left alone for a while after it did not work.
    pub(crate) fn admit(self: &Arc<Self>) -> bool {
        match self.breaker.admit() {
            Admission::Closed => return true,
            Admission::Open => {}
            Admission::HalfOpen => {
                // Dropped without an answer, by a panic or with the thread, it was in vain.
                let probe = Probe(Arc::clone(self));
                let _ = io_thread::spawn(async move { probe.run().await });
            }
        }
        false
    }

    /// Asks the storage, learns from how that went, and waits here for the answer.
    pub(crate) fn ask<T, W>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(Arc<Self>) -> W,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let answer = io_thread::run_unlimited(work(Arc::clone(self)));
        if let Err(failure) = &answer {
            self.failed(operation, failure);
        }
        answer
    }

    /// Does a request, within the time limit, and again for a while if the storage has too much to do.
    pub(crate) async fn request<T, W>(&self, work: impl Fn() -> W) -> Result<T, Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        // For as long as a time limit, where the storage has too much to do: then compiling is the better bet.
        Attempts::new(&self.remote, &self.random, self.time_limit)
            .at(|| self.flow.within_limit(work()))
            .await
    }

    /// Fetches the entry of `key`, or of the first of the `accepted` ids that has one, into memory: each of its frames is
    /// verified, and only then decompressed.
    pub(crate) fn get(
        self: &Arc<Self>,
        key: &EntryKey,
        accepted: &[EngineId],
    ) -> Result<Option<SealedEntry<'static>>, Failure> {
        self.first_good(key, accepted, |key, pieces| {
            let entry = SealedEntry::incoming(pieces.header().seal.clone(), &pieces);
            let taken = tracing::debug_span!("fetch", %key).in_scope(|| entry.to_memory());
            // What is gone or no entry is none, whatever became of taking it.
            if !self.fetched(key, pieces)? {
                return Ok(None);
            }
            Ok(Some(taken?))
        })
    }

    /// What `take` makes of the first entry that it can take: one whose content is damaged does not hide the next.
    fn first_good<T>(
        self: &Arc<Self>,
        key: &EntryKey,
        accepted: &[EngineId],
        take: impl Fn(&EntryKey, Pieces) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut left = Some((*key, accepted));
        while let Some((key, accepted)) = left
            && let Some((found, pieces)) = self.find(&key, accepted)?
        {
            let taken = take(&found, pieces)?;
            if taken.is_some() {
                return Ok(taken);
            }
            left = next_accepted(&found, &key, accepted);
        }
        Ok(None)
    }

    /// Fetches an entry and hands it to another store while it comes.
    pub(crate) fn promote(
        self: &Arc<Self>,
        key: &EntryKey,
        accepted: &[EngineId],
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, Failure> {
        self.first_good(key, accepted, |key, pieces| {
            self.promote_or_get(key, pieces, to, true)
        })
    }

    /// The same; where the other store does not keep it, without the entry.
    pub(crate) fn promote_only(
        self: &Arc<Self>,
        key: &EntryKey,
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, Failure> {
        self.first_good(key, &[], |key, pieces| {
            self.promote_or_get(key, pieces, to, false)
        })
    }

    fn promote_or_get(
        self: &Arc<Self>,
        key: &EntryKey,
        pieces: Pieces,
        to: &dyn EntryStore,
        gets: bool,
    ) -> Result<Option<Promotion>, Failure> {
        let key = *key;
        let entry = SealedEntry::incoming(pieces.header().seal.clone(), &pieces);
        let outcome = tracing::debug_span!("fetch", %key).in_scope(|| to.put(&key, &entry));
        if !gets || matches!(outcome, Ok(SaveOutcome::Stored { .. })) {
            let fetched = self.fetched(&key, pieces)?;
            let entry = None;
            return Ok(fetched.then_some(Promotion {
                key,
                outcome,
                entry,
            }));
        }
        let entry = if pieces.is_started() {
            // What it took is gone with it.
            if !self.fetched(&key, pieces)? {
                return Ok(None);
            }
            self.get(&key, &[])?
        } else {
            let taken = tracing::debug_span!("fetch", %key).in_scope(|| entry.to_memory());
            if !self.fetched(&key, pieces)? {
                return Ok(None);
            }
            Some(taken?)
        };
        Ok(entry.map(|entry| Promotion {
            key,
            outcome,
            entry: Some(entry),
        }))
    }

    /// Looks for the entry of `key` and for those of the `accepted` ids, all at once: the first one in that order counts.
    fn find(
        self: &Arc<Self>,
        key: &EntryKey,
        accepted: &[EngineId],
    ) -> Result<Option<(EntryKey, Pieces)>, Failure> {
        let others = accepted.iter().map(|id| EntryKey::new(key.hash(), *id));
        let keys: Vec<_> = iter::once(*key).chain(others).collect();
        let found = tracing::debug_span!("find", %key).in_scope(|| {
            self.ask("load an entry", async move |shared| {
                let open = async |key: EntryKey| (key, shared.open(&key).await);
                let mut answers: FuturesOrdered<_> = keys.into_iter().map(open).collect();
                while let Some((key, found)) = answers.next().await {
                    if let Some(header) = shared.found(&key, found?) {
                        return Ok(Some((key, header)));
                    }
                }
                Ok(None)
            })
        })?;
        Ok(found.map(|(key, header)| (key, Pieces::new(self.source(), *header))))
    }

    /// Looks for an entry under the names of all keys that may have signed it, that which signs first; on the thread of
    /// remote storage.
    pub(crate) async fn open(&self, key: &EntryKey) -> Result<Found, Failure> {
        let began = Instant::now();
        let mut refused = Found::Nothing;
        for path in layout::entries(key, &self.demands.trust) {
            let open = || async {
                // What is sent at once comes late.
                let _turn = self.flow.turn_to_open().await?;
                if self.breaker.is_open() {
                    return Err(Failure::Rests);
                }
                let open =
                    fetch::open(&self.operator, path.clone(), key, &self.demands, &self.flow);
                self.flow.within_limit(open).await
            };
            let found = Attempts::new(&self.remote, &self.random, self.time_limit)
                .at(open)
                .await;
            match found? {
                Found::Nothing => {}
                found @ Found::Entry(_) => {
                    if let Found::Refused(refusal) = &refused {
                        self.refused(key, refusal);
                    }
                    self.remote.answered(began.elapsed());
                    return Ok(found);
                }
                found @ Found::Refused(_) => refused = found,
            }
        }
        self.remote.answered(began.elapsed());
        Ok(refused)
    }

    /// What pieces of entries come from.
    pub(crate) fn source(&self) -> Source {
        Source {
            operator: self.operator.clone(),
            flow: Arc::clone(&self.flow),
            remote: Arc::clone(&self.remote),
            random: self.random.clone(),
        }
    }

    /// Learns from what was found.
    pub(crate) fn found(&self, key: &EntryKey, found: Found) -> Option<Box<Header>> {
        match found {
            Found::Entry(header) => return Some(header),
            Found::Nothing => self.breaker.worked(),
            Found::Refused(refusal) => self.refused(key, &refusal),
        }
        None
    }

    /// Counts what came of a fetch, and says whether all was what it should be, as far as it came.
    fn fetched(self: &Arc<Self>, key: &EntryKey, pieces: Pieces) -> Result<bool, Failure> {
        let outcome = pieces.into_outcome();
        self.remote.bytes_fetched.add(outcome.bytes);
        if let Some(invalid) = outcome.invalid {
            self.refused(key, &invalid.into());
            return Ok(false);
        }
        match outcome.failure {
            // Replaced or removed while it came.
            Some(failure) if failure.is_not_found() => Ok(false),
            Some(failure) => {
                self.failed("load an entry", &failure);
                Err(failure)
            }
            None => {
                self.breaker.worked();
                Ok(true)
            }
        }
    }

    pub(crate) fn contains(self: &Arc<Self>, key: &EntryKey) -> Result<bool, Failure> {
        if self.is_suspect(key) {
            return Ok(false);
        }
        let key = *key;
        let found = self.ask("look for an entry", async move |shared| {
            for path in layout::entries(&key, &shared.demands.trust) {
                let look =
                    || fetch::look(&shared.operator, &path, &key, &shared.demands, &shared.flow);
                if shared.request(look).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        self.breaker.worked();
        Ok(found)
    }

    pub(crate) fn remove(self: &Arc<Self>, key: &EntryKey) -> Result<bool, Failure> {
        if !self.is_writable() {
            return Err(Failure::Skipped(SkipReason::ReadOnly));
        }
        let key = *key;
        let shared = Arc::clone(self);
        // What is on its way would be there again.
        io_thread::run_unlimited(async move {
            shared.uploads.finished(&key).await;
            Ok(())
        })?;
        self.ask("remove an entry", async move |shared| {
            let mut removed = false;
            for path in layout::entries(&key, &shared.demands.trust) {
                let remove = async || {
                    let found = shared.operator.exists(&path).await?;
                    match shared.operator.delete(&path).await {
                        Ok(()) => Ok(found),
                        // Somebody else was faster.
                        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                        Err(error) => Err(error.into()),
                    }
                };
                removed |= shared.request(remove).await?;
            }
            Ok(removed)
        })
    }

    /// Leaves an entry to be uploaded.
    pub(crate) fn put(self: &Arc<Self>, entry: &SealedEntry<'_>) -> Result<SaveOutcome, Failure> {
        if self.demands.trust.can_write() {
            entry.check_under(&self.demands.trust)?;
        }
        if let Some(reason) = self.reason_to_skip(entry) {
            return Ok(self.skipped(entry.key(), reason));
        }
        let ticket = match self.admit_upload(entry)? {
            Admitted::Yes(ticket) => ticket,
            Admitted::Already => return Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored)),
            Admitted::Full => {
                if self.remote.dropped_uploads.add(1) {
                    tracing::warn!(key = %entry.key(), "the queue of uploads is full; an entry is not stored");
                }
                return Ok(self.skipped(entry.key(), SkipReason::Overloaded));
            }
        };
        let (entry, bytes) = (entry.to_static()?, entry.len());
        let shared = Arc::clone(self);
        io_thread::spawn(async move { shared.upload(entry, ticket).await })?;
        Ok(SaveOutcome::Stored { bytes })
    }

    fn admit_upload(self: &Arc<Self>, entry: &SealedEntry<'_>) -> Result<Admitted, Failure> {
        loop {
            let admitted = self.uploads.admit(entry.key(), entry.len());
            if !self.waits_for_room || !matches!(admitted, Admitted::Full) {
                return Ok(admitted);
            }
            let (shared, bytes) = (Arc::clone(self), entry.len());
            io_thread::run_unlimited(async move {
                shared.uploads.room(bytes).await;
                Ok(())
            })?;
        }
    }

    /// Uploads an entry and waits for the outcome.
    pub(crate) fn put_now(
        self: &Arc<Self>,
        entry: &SealedEntry<'_>,
    ) -> Result<SaveOutcome, Failure> {
        if let Some(reason) = self.reason_to_skip(entry) {
            return Ok(self.skipped(entry.key(), reason));
        }
        let entry = entry.to_static()?;
        let shared = Arc::clone(self);
        io_thread::run_unlimited(async move { shared.store(entry).await })
    }

    /// Waits until what was left to be uploaded is, and says what went wrong since the last time.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<(), Failure> {
        let shared = Arc::clone(self);
        io_thread::run_unlimited(async move {
            shared.uploads.drained().await;
            Ok(())
        })?;
        self.upload_failure.lock().take().map_or(Ok(()), Err)
    }

    async fn upload(self: Arc<Self>, entry: SealedEntry<'static>, ticket: Ticket) {
        let key = *entry.key();
        // A panic in a client would otherwise pass for an upload.
        let stored = AssertUnwindSafe(self.store(entry)).catch_unwind().await;
        let stored = stored.unwrap_or_else(|_| {
            self.remote.failed_uploads.add(1);
            self.counters.error();
            Err(Failure::NoThread)
        });
        match stored {
            Ok(SaveOutcome::Stored { bytes }) => tracing::debug!(%key, bytes, "uploaded"),
            // It is noted why.
            Ok(SaveOutcome::Skipped(_)) => {}
            Err(failure) => *self.upload_failure.lock() = Some(failure),
        }
        drop(ticket);
    }

    async fn store(self: &Arc<Self>, entry: SealedEntry<'static>) -> Result<SaveOutcome, Failure> {
        let _slot = self.upload_slots.acquire().await;
        let key = *entry.key();
        // Since it was queued, the storage may have been found not to work.
        let replaces = self.breaker.is_open_for_garbage();
        if (self.breaker.is_open() && !replaces) || self.read_only() {
            let reason = self
                .reason_to_skip(&entry)
                .unwrap_or(SkipReason::Unreachable);
            return Ok(self.skipped(&key, reason));
        }
        let trust = &self.demands.trust;
        // An entry that came signed stays whose it is, in that one's place.
        let by = entry.key_id().filter(|_| trust.is_signed());
        let path = layout::entry(&key, by.or(trust.key_ids().next()));
        let look = || fetch::look(&self.operator, &path, &key, &self.demands, &self.flow);
        // Where all that was loaded was damaged, so may be what looks good by its end.
        let looked = if replaces || self.is_suspect(&key) {
            Ok(false)
        } else {
            self.request(look).await
        };
        let stored = match looked {
            Ok(true) => Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored)),
            Ok(false) => {
                let stored = self.store_at(&path, &key, entry).await;
                stored.inspect_err(|failure| self.write_failed("upload an entry", failure))
            }
            Err(failure) if failure.is_refusal() => {
                self.write_failed("upload an entry", &failure);
                Err(failure)
            }
            Err(failure) => {
                self.failed("upload an entry", &failure);
                Err(failure)
            }
        };
        match &stored {
            Ok(outcome) => {
                self.breaker.worked();
                if let SaveOutcome::Stored { .. }
                | SaveOutcome::Skipped(SkipReason::AlreadyStored) = outcome
                {
                    self.uploads.stored(&key);
                }
            }
            Err(_) => drop(self.remote.failed_uploads.add(1)),
        }
        stored
    }

    async fn store_at(
        &self,
        path: &str,
        key: &EntryKey,
        entry: SealedEntry<'static>,
    ) -> Result<SaveOutcome, Failure> {
        let trust = self.demands.trust.clone();
        let compress = move || entry.to_transport(&trust, &codec::compress);
        let bytes = io_thread::compute(compress).await??;
        let len = bytes.len() as u64;
        if len > self.demands.max_entry_size {
            return Ok(self.skipped(key, SkipReason::TooLarge));
        }
        self.write(path, bytes.into()).await?;
        self.suspects.lock().remove(key);
        self.counters.saved(len);
        self.remote.bytes_uploaded.add(len);
        Ok(SaveOutcome::Stored { bytes: len })
    }

    /// Writes an object, and again for a while if the storage has too much to do. Nothing tells how much of it has gone out, so
    /// the limit is one for slow ways.
    pub(crate) async fn write(&self, path: &str, bytes: opendal::Buffer) -> Result<(), Failure> {
        let slow = Duration::from_secs(bytes.len() as u64 / SLOWEST_UPLOAD);
        let one = self.time_limit * UPLOAD_LIMITS + slow;
        // Nobody waits for it, so where the storage has too much to do there is more time than for a load.
        Attempts::new(&self.remote, &self.random, self.time_limit * UPLOAD_LIMITS)
            .at(|| {
                io_thread::in_time(one, async {
                    Ok(self.operator.write(path, bytes.clone()).await.map(drop)?)
                })
            })
            .await
    }

    fn reason_to_skip(self: &Arc<Self>, entry: &SealedEntry<'_>) -> Option<SkipReason> {
        if self.read_only() {
            Some(SkipReason::ReadOnly)
        } else if entry.len() > self.demands.max_entry_size {
            Some(SkipReason::TooLarge)
        } else if !self.breaker.is_open_for_garbage() && !self.admit() {
            Some(SkipReason::Unreachable)
        } else {
            None
        }
    }

    fn skipped(&self, key: &EntryKey, reason: SkipReason) -> SaveOutcome {
        self.counters.skip();
        if self.is_writable() {
            let mut failure = self.upload_failure.lock();
            failure.get_or_insert(Failure::Skipped(reason));
        }
        tracing::debug!(%key, %reason, "entry not stored");
        SaveOutcome::Skipped(reason)
    }

    /// Counts what came instead of an entry, and remembers to replace it.
    fn refused(&self, key: &EntryKey, refusal: &Refusal) {
        {
            let mut suspects = self.suspects.lock();
            if suspects.len() >= MOST_SUSPECTS {
                suspects.clear();
            }
            suspects.insert(*key);
        }
        self.warn_of_entry(key, refusal);
        if matches!(refusal, Refusal::Invalid(invalid) if InvalidEntry::is_corrupt(invalid)) {
            self.counters.corrupt();
            if self.breaker.returned_garbage() {
                tracing::warn!(
                    "the remote storage returns only damaged entries; nothing is loaded from it for a while"
                );
            }
        } else {
            self.counters.reject();
            self.breaker.worked();
        }
    }

    /// Tells of an entry that cannot be used; the first is worth a warning.
    pub(crate) fn warn_of_entry(&self, key: &EntryKey, reason: &dyn fmt::Display) {
        if self.warned_of_entries.swap(true, Ordering::Relaxed) {
            tracing::debug!(%key, %reason, "a remote entry cannot be used");
        } else {
            tracing::warn!(%key, %reason, "a remote entry cannot be used; further ones are logged at debug level");
        }
    }

    /// A storage that refuses to be written to can still be read, and so may be one that fails at it: that it does not work at
    /// all shows when it is looked for the entry before.
    fn write_failed(&self, operation: &'static str, failure: &Failure) {
        // One that does not answer would hold up all that wait behind it.
        if failure.is_refusal() || matches!(failure, Failure::TimedOut(_)) {
            let refused = self.write_refused.lock().replace(Instant::now());
            let follows = "the remote storage is used read-only for a while";
            self.count(operation, failure, refused.is_none().then_some(follows));
        } else {
            self.count(operation, failure, None);
        }
    }

    /// Leases save work, and a storage that does not give them can still be read and written to.
    pub(crate) fn lease_failed(&self, operation: &'static str, failure: &Failure) {
        self.remote.failed_leases.add(1);
        // Where the storage has too much to do, the next one may be given.
        let rests = !failure.is_throttling() && self.leases.as_ref().is_some_and(Leases::rest);
        let follows = "going on without leases for a while";
        self.count(operation, failure, rests.then_some(follows));
    }

    pub(crate) fn failed(&self, operation: &'static str, failure: &Failure) {
        let is_news = self.is_outage(failure) && self.breaker.failed();
        let follows = "going on without the remote storage";
        self.count(operation, failure, is_news.then_some(follows));
    }

    fn is_outage(&self, failure: &Failure) -> bool {
        match failure {
            // As long as something comes, it is this answer that is late.
            Failure::TimedOut(_) => self.flow.is_silent(),
            failure => !failure.is_local() && !failure.is_throttling(),
        }
    }

    /// Counts a failure, and warns of it if something `follows` that is news.
    fn count(&self, operation: &'static str, failure: &Failure, follows: Option<&str>) {
        self.counters.error();
        let cause = std::error::Error::source(failure).map(tracing::field::display);
        if let Some(follows) = follows {
            tracing::warn!(%failure, cause, "cannot {operation}; {follows}");
        } else {
            tracing::debug!(%failure, cause, "cannot {operation}");
        }
    }

    /// Whether this cache is one that writes, be that refused or not.
    fn is_writable(&self) -> bool {
        !self.never_writes
            && self.demands.trust.can_write()
            && self.operator.info().capability().write
    }

    pub(crate) fn read_only(&self) -> bool {
        let refused = *self.write_refused.lock();
        !self.is_writable() || refused.is_some_and(|at| at.elapsed() < REFUSAL_BACKOFF)
    }

    pub(crate) fn remote_stats(&self) -> RemoteStats {
        RemoteStats {
            bytes_fetched: self.remote.bytes_fetched.get(),
            bytes_uploaded: self.remote.bytes_uploaded.get(),
            failed_uploads: self.remote.failed_uploads.get(),
            dropped_uploads: self.remote.dropped_uploads.get(),
            outages: self.breaker.outages(),
            short_circuited: self.breaker.short_circuited(),
            retries: self.remote.retries.get(),
            throttled: self.remote.throttled.get(),
            takeovers: self.remote.takeovers.get(),
            lease_waits: self.remote.lease_waits.get(),
            failed_leases: self.remote.failed_leases.get(),
            answers: self.remote.answers.get(),
            answer_micros: self.remote.answer_micros.get(),
            is_out: self.breaker.is_open(),
        }
    }

    fn is_suspect(&self, key: &EntryKey) -> bool {
        self.suspects.lock().contains(key)
    }
}

/// Looks, in the background, whether the storage works again.
struct Probe(Arc<Shared>);

impl Probe {
    async fn run(self) {
        let Self(shared) = &self;
        let asked = io_thread::in_time(shared.time_limit, async {
            Ok(shared.operator.stat(layout::PROBE).await.map(drop)?)
        });
        let works = match asked.await {
            Ok(()) => true,
            Err(failure) => failure.is_not_found() || failure.is_throttling(),
        };
        if works {
            shared.breaker.probed();
            tracing::info!("the remote storage answers again");
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.breaker.probe_ended();
    }
}
