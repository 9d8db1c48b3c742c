//! What the handles of a cache share with the work they left to the background: how the storage is asked,
//! and what is remembered of its answers.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use module_cache_core::{
    Counters, EntryKey, EntryStore, InvalidEntry, Promotion, SaveOutcome, SealedEntry, SkipReason,
};
use opendal::layers::{RetryEvent, RetryLayer};
use opendal::{ErrorKind, Operator};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::breaker::{Admission, Breaker};
use crate::builder::{LeaseChoice, RemoteCacheBuilder};
use crate::failure::Failure;
use crate::fetch::{self, Demands, Found, Refusal};
#[cfg(feature = "redis")]
use crate::lease::RedisRecords;
use crate::lease::{Leases, ObjectRecords, Records};
use crate::local_locks::LocalLocks;
use crate::pieces::Pieces;
use crate::stats::RemoteCounters;
use crate::uploads::{Admitted, Ticket, Uploads};
use crate::{codec, io_thread, layout};

/// Uploads that run at a time, so that one large entry does not hold up the rest.
const CONCURRENT_UPLOADS: usize = 4;

/// An upload that is slower than this is given up.
const SLOWEST_UPLOAD: u64 = 1 << 20;

/// For so long nothing is written to a storage that refused it: rights and credentials change.
const REFUSAL_BACKOFF: Duration = Duration::from_mins(1);

/// Entries found bad that are remembered, so that a save replaces them.
const MOST_SUSPECTS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) operator: Operator,
    pub(crate) demands: Demands,
    pub(crate) leases: Option<Leases>,
    pub(crate) local_locks: LocalLocks,
    pub(crate) uploads: Uploads,
    pub(crate) breaker: Breaker,
    pub(crate) counters: Counters,
    pub(crate) remote: RemoteCounters,
    pub(crate) time_limit: Duration,
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
        let remote = RemoteCounters::default();
        let retries = Arc::clone(&remote.retries);
        let retry = RetryLayer::new()
            .with_max_times(2)
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_millis(500))
            .with_jitter()
            .with_notify(move |event: RetryEvent<'_>| {
                retries.add(1);
                tracing::debug!(error = %event.err, "the remote storage is asked again");
            });
        let operator = options.operator.layer(retry);
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
            leases: records
                .map(|records| Leases::new(records, options.lease_term, options.time_limit)),
            local_locks: LocalLocks::default(),
            uploads: Uploads::new(options.queue_count, options.queue_bytes),
            breaker: Breaker::new(),
            counters: Counters::default(),
            remote,
            time_limit: options.time_limit,
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
                let shared = Arc::clone(self);
                if io_thread::spawn(async move { shared.probe().await }).is_err() {
                    self.breaker.probed(false);
                }
            }
        }
        false
    }

    /// Asks the storage, within the time limit, and learns from how that went.
    pub(crate) fn ask<T, W>(
        self: &Arc<Self>,
        operation: &'static str,
        work: impl FnOnce(Arc<Self>) -> W,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let answer = io_thread::run(self.time_limit, work(Arc::clone(self)));
        if let Err(failure) = &answer {
            self.failed(operation, failure);
        }
        answer
    }

    /// Fetches an entry into memory: each of its frames is verified, and only then decompressed.
    pub(crate) fn get(
        self: &Arc<Self>,
        key: &EntryKey,
    ) -> Result<Option<SealedEntry<'static>>, Failure> {
        let Some(pieces) = self.find(key)? else {
            return Ok(None);
        };
        let entry = SealedEntry::incoming(pieces.header().seal.clone(), &pieces);
        let taken = tracing::debug_span!("fetch", %key).in_scope(|| entry.to_memory());
        let fetched = self.fetched(key, pieces)?;
        Ok(taken.map(|entry| fetched.then_some(entry))?)
    }

    /// Fetches an entry and hands it to another store while it comes.
    pub(crate) fn promote(
        self: &Arc<Self>,
        key: &EntryKey,
        to: &dyn EntryStore,
    ) -> Result<Option<Promotion>, Failure> {
        let Some(pieces) = self.find(key)? else {
            return Ok(None);
        };
        let entry = SealedEntry::incoming(pieces.header().seal.clone(), &pieces);
        let outcome = tracing::debug_span!("fetch", %key).in_scope(|| to.put(key, &entry));
        if let Ok(SaveOutcome::Stored { .. }) = outcome {
            let stored = self.fetched(key, pieces)?;
            let entry = None;
            return Ok(stored.then_some(Promotion { outcome, entry }));
        }
        let entry = if pieces.is_started() {
            // What it took is gone with it.
            if !self.fetched(key, pieces)? {
                return Ok(None);
            }
            self.get(key)?
        } else {
            let taken = tracing::debug_span!("fetch", %key).in_scope(|| entry.to_memory());
            let fetched = self.fetched(key, pieces)?;
            taken.map(|entry| fetched.then_some(entry))?
        };
        Ok(entry.map(|entry| Promotion {
            outcome,
            entry: Some(entry),
        }))
    }

    /// Looks for an entry under the names of all accepted keys, that which signs first.
    fn find(self: &Arc<Self>, key: &EntryKey) -> Result<Option<Pieces>, Failure> {
        let wanted = *key;
        let found = tracing::debug_span!("find", %key).in_scope(|| {
            self.ask("load an entry", async move |shared| {
                let mut refused = Found::Nothing;
                for path in layout::entries(&wanted, &shared.demands.trust) {
                    match fetch::open(&shared.operator, path, &wanted, &shared.demands).await? {
                        Found::Nothing => {}
                        found @ Found::Entry(_) => {
                            if let Found::Refused(refusal) = &refused {
                                shared.refused(&wanted, refusal);
                            }
                            return Ok(found);
                        }
                        found @ Found::Refused(_) => refused = found,
                    }
                }
                Ok(refused)
            })
        })?;
        match found {
            Found::Entry(header) => {
                let operator = self.operator.clone();
                Ok(Some(Pieces::new(operator, *header, self.time_limit)))
            }
            Found::Nothing => {
                self.breaker.worked();
                Ok(None)
            }
            Found::Refused(refusal) => {
                self.refused(key, &refusal);
                Ok(None)
            }
        }
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
                if fetch::look(&shared.operator, &path, &key, &shared.demands).await? {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        self.breaker.worked();
        Ok(found)
    }

    pub(crate) fn remove(self: &Arc<Self>, key: &EntryKey) -> Result<bool, Failure> {
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
                let found = shared.operator.exists(&path).await?;
                match shared.operator.delete(&path).await {
                    Ok(()) => removed |= found,
                    // Somebody else was faster.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error.into()),
                }
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
        let ticket = match self.uploads.admit(entry.key(), entry.len()) {
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
        let failure = match self.store(entry).await {
            Ok(SaveOutcome::Stored { bytes }) => {
                tracing::debug!(%key, bytes, "uploaded");
                None
            }
            Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored)) => None,
            Ok(SaveOutcome::Skipped(reason)) => Some(Failure::Skipped(reason)),
            Err(failure) => Some(failure),
        };
        if failure.is_some() {
            *self.upload_failure.lock() = failure;
        }
        drop(ticket);
    }

    async fn store(self: &Arc<Self>, entry: SealedEntry<'static>) -> Result<SaveOutcome, Failure> {
        let _slot = self.upload_slots.acquire().await;
        let key = *entry.key();
        // Since it was queued, the storage may have been found not to work.
        if self.breaker.is_open() || self.read_only() {
            let reason = self
                .reason_to_skip(&entry)
                .unwrap_or(SkipReason::Unreachable);
            return Ok(self.skipped(&key, reason));
        }
        let stored = self.store_if_missing(&key, entry).await;
        match &stored {
            Ok(_) => self.breaker.worked(),
            Err(failure) => {
                self.remote.failed_uploads.add(1);
                self.write_failed("upload an entry", failure);
            }
        }
        stored
    }

    async fn store_if_missing(
        &self,
        key: &EntryKey,
        entry: SealedEntry<'static>,
    ) -> Result<SaveOutcome, Failure> {
        let trust = &self.demands.trust;
        // An entry that came signed stays whose it is, in that one's place.
        let by = entry.key_id().filter(|_| trust.is_signed());
        let path = layout::entry(key, by.or(trust.key_ids().next()));
        let looked = fetch::look(&self.operator, &path, key, &self.demands);
        if !self.is_suspect(key) && io_thread::in_time(self.time_limit, looked).await? {
            return Ok(SaveOutcome::Skipped(SkipReason::AlreadyStored));
        }
        let trust = self.demands.trust.clone();
        let compressed =
            tokio::task::spawn_blocking(move || entry.to_transport(&trust, &codec::compress));
        let bytes = compressed.await.map_err(|_| Failure::NoThread)??;
        let len = bytes.len() as u64;
        if len > self.demands.max_entry_size {
            return Ok(self.skipped(key, SkipReason::TooLarge));
        }
        let limit = self.time_limit + Duration::from_secs(len / SLOWEST_UPLOAD);
        io_thread::in_time(limit, async {
            Ok(self.operator.write(&path, bytes).await?)
        })
        .await?;
        self.suspects.lock().remove(key);
        self.counters.saved(len);
        self.remote.bytes_uploaded.add(len);
        Ok(SaveOutcome::Stored { bytes: len })
    }

    fn reason_to_skip(self: &Arc<Self>, entry: &SealedEntry<'_>) -> Option<SkipReason> {
        if self.read_only() {
            Some(SkipReason::ReadOnly)
        } else if entry.len() > self.demands.max_entry_size {
            Some(SkipReason::TooLarge)
        } else if !self.admit() {
            Some(SkipReason::Unreachable)
        } else {
            None
        }
    }

    fn skipped(&self, key: &EntryKey, reason: SkipReason) -> SaveOutcome {
        self.counters.skip();
        tracing::debug!(%key, %reason, "entry not stored");
        SaveOutcome::Skipped(reason)
    }

    /// Looks, in the background, whether the storage works again.
    async fn probe(&self) {
        let asked = io_thread::in_time(self.time_limit, async {
            Ok(self.operator.stat(layout::PROBE).await.map(drop)?)
        });
        let works = match asked.await {
            Ok(()) => true,
            Err(failure) => failure.is_not_found(),
        };
        self.breaker.probed(works);
        if works {
            tracing::info!("the remote storage answers again");
        }
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
                    "the remote storage returns nothing but garbage; going on without it"
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
            tracing::warn!(%key, %reason, "a remote entry cannot be used; more of them are not logged as warnings");
        }
    }

    /// A storage that refuses to be written to can still be read.
    pub(crate) fn write_failed(&self, operation: &'static str, failure: &Failure) {
        if !failure.is_refusal() {
            self.failed(operation, failure);
            return;
        }
        self.counters.error();
        let cause = std::error::Error::source(failure).map(tracing::field::display);
        if self.write_refused.lock().replace(Instant::now()).is_some() {
            tracing::debug!(%failure, cause, "cannot {operation}");
        } else {
            tracing::warn!(%failure, cause, "cannot {operation}; the remote storage is used read-only");
        }
    }

    fn failed(&self, operation: &'static str, failure: &Failure) {
        self.counters.error();
        let cause = std::error::Error::source(failure).map(tracing::field::display);
        if !failure.is_local() && self.breaker.failed() {
            tracing::warn!(%failure, cause, "cannot {operation}; going on without the remote storage");
        } else {
            tracing::debug!(%failure, cause, "cannot {operation}");
        }
    }

    pub(crate) fn read_only(&self) -> bool {
        let refused = *self.write_refused.lock();
        !self.demands.trust.can_write()
            || !self.operator.info().capability().write
            || refused.is_some_and(|at| at.elapsed() < REFUSAL_BACKOFF)
    }

    fn is_suspect(&self, key: &EntryKey) -> bool {
        self.suspects.lock().contains(key)
    }
}
