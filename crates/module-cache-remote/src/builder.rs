//! Options of a remote cache.

use std::fmt;
use std::time::Duration;

use module_cache_core::Trust;
use opendal::Operator;

use crate::flow;

/// The longest time that an option can set: more is as good as for ever.
const LONGEST: Duration = Duration::from_hours(1);

const MOST_REQUESTS: usize = 1024;

/// Options for a [`RemoteCache`](crate::RemoteCache); made by [`RemoteCache::builder`](crate::RemoteCache::builder) or [`RemoteCache::from_uri`](crate::RemoteCache::from_uri).
///
/// ```
/// use std::time::Duration;
///
/// use module_cache_core::{SharedKey, Trust};
/// use module_cache_remote::RemoteCache;
/// # use opendal::{Operator, services::Memory};
/// # let operator = Operator::new(Memory::default())?;
///
/// let cache = RemoteCache::builder(operator, Trust::shared(SharedKey::from_bytes([7; 32])))
///     .time_limit(Duration::from_secs(2))
///     .build();
/// # Ok::<(), opendal::Error>(())
/// ```
#[must_use]
pub struct RemoteCacheBuilder {
    pub(crate) operator: Operator,
    pub(crate) trust: Trust,
    pub(crate) leases: LeaseChoice,
    pub(crate) time_limit: Duration,
    pub(crate) max_entry_size: u64,
    pub(crate) queue_count: usize,
    pub(crate) queue_bytes: u64,
    pub(crate) lease_term: Duration,
    pub(crate) flush_limit: Duration,
    pub(crate) concurrency: usize,
    pub(crate) waits_for_room: bool,
    pub(crate) read_only: bool,
    pub(crate) backfill: Option<Duration>,
    /// What a simulation begins its random numbers with.
    pub(crate) seed: Option<u64>,
}

/// Where leases are kept.
pub(crate) enum LeaseChoice {
    Off,
    /// Beside the entries, if the service can write on a condition.
    Objects,
    #[cfg(feature = "redis")]
    Redis {
        client: Box<redis::Client>,
        prefix: String,
    },
}

impl RemoteCacheBuilder {
    pub(crate) fn new(operator: Operator, trust: Trust) -> Self {
        Self {
            operator,
            trust,
            leases: LeaseChoice::Objects,
            time_limit: Duration::from_secs(5),
            max_entry_size: 1 << 30,
            queue_count: 64,
            queue_bytes: 256 << 20,
            lease_term: Duration::from_secs(10),
            flush_limit: Duration::from_secs(5),
            concurrency: flow::REQUESTS,
            waits_for_room: false,
            read_only: false,
            backfill: Some(Duration::from_mins(1)),
            seed: None,
        }
    }

    /// For how long nothing may come from the storage before a call ends; 5 seconds by default. It is no limit for a load as
    /// a whole: a large entry takes its time on a slow network. A storage that says that it has too much to do is asked
    /// again for as long.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit.min(LONGEST);
        self
    }

    /// The largest entry that is fetched or stored, in bytes, compressed or not; 1 GiB by default.
    pub fn max_entry_size(mut self, bytes: u64) -> Self {
        self.max_entry_size = bytes;
        self
    }

    /// How many uploads may wait, and how many bytes of uncompressed entries with them; 64 and 256 MiB by
    /// default. What is saved beyond that is dropped, or [waits](Self::wait_for_room). One entry may always wait, however
    /// large.
    pub fn queue(mut self, count: usize, bytes: u64) -> Self {
        self.queue_count = count;
        self.queue_bytes = bytes;
        self
    }

    /// A save waits while the queue is full, instead of being dropped: for whoever fills a storage. What did not work out
    /// is the error of the next [`flush`](module_cache_core::ModuleCache::flush).
    pub fn wait_for_room(mut self) -> Self {
        self.waits_for_room = true;
        self
    }

    /// How many parts of entries are fetched at a time by all loads of this cache; 16 by default, 1 to 1024.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, MOST_REQUESTS);
        self
    }

    /// Neither writes to the storage nor removes anything there, and takes no leases.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// How often, at most, an entry that a folder in front of this cache has is looked for in the storage, and uploaded if
    /// it is not there any more; once a minute by default, not at all for `None`.
    pub fn backfill(mut self, interval: Option<Duration>) -> Self {
        self.backfill = interval;
        self
    }

    /// For how long a [lease](crate::RemoteCache#leases) is believed that its holder does not renew; 10 seconds
    /// by default. All who share the storage should agree. A holder that died delays the others by this,
    /// once; one that is cut off from the storage for longer loses its lease. Whoever has waited for three times as long as
    /// compiling was expected to take, and two terms, compiles without, however alive the holder looks.
    pub fn lease_term(mut self, term: Duration) -> Self {
        self.lease_term = term.min(LONGEST);
        self
    }

    /// Takes no leases: each host compiles for itself.
    ///
    /// For services that offer conditional writes and do not keep them when two hosts write at once.
    pub fn without_leases(mut self) -> Self {
        self.leases = LeaseChoice::Off;
        self
    }

    /// Keeps leases in Redis, with names that begin with `prefix`, whatever entries are kept in.
    /// [`RemoteCache::from_uri`](crate::RemoteCache::from_uri) does this for `redis://` by itself.
    #[cfg(feature = "redis")]
    pub fn redis_leases(mut self, client: redis::Client, prefix: impl Into<String>) -> Self {
        let (client, prefix) = (Box::new(client), prefix.into());
        self.leases = LeaseChoice::Redis { client, prefix };
        self
    }

    /// How long dropping the last handle waits for uploads; 5 seconds by default.
    pub fn flush_limit(mut self, limit: Duration) -> Self {
        self.flush_limit = limit;
        self
    }
}

impl fmt::Debug for RemoteCacheBuilder {
    /// Without the storage's own account of itself, which has secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RemoteCacheBuilder")
            .field("service", &self.operator.info().scheme())
            .field("root", &self.operator.info().root())
            .field("trust", &self.trust)
            .field("time_limit", &self.time_limit)
            .finish_non_exhaustive()
    }
}
