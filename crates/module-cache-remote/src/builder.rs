//! Options of a remote cache.

use std::fmt;
use std::time::Duration;

use module_cache_core::Trust;
use opendal::Operator;

use crate::flow;

/// The longest time that an option can set: more is as good as for ever.
const LONGEST: Duration = Duration::from_hours(1);

const MOST_REQUESTS: usize = 1024;

/// Options for a [`RemoteCache`](crate::RemoteCache); created by [`RemoteCache::builder`](crate::RemoteCache::builder) or
/// [`RemoteCache::from_uri`](crate::RemoteCache::from_uri).
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

    /// The time without data from the storage after which a call fails; 5 seconds by default. It does not limit a whole
    /// load: a large entry may take longer on a slow network. Requests that the storage refuses because of overload are
    /// repeated for the same time.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit.min(LONGEST);
        self
    }

    /// The largest entry that is fetched or stored, in bytes, both compressed and uncompressed; 1 GiB by default.
    pub fn max_entry_size(mut self, bytes: u64) -> Self {
        self.max_entry_size = bytes;
        self
    }

    /// The number of uploads that may wait, and the total size of their uncompressed entries in bytes; 64 and 256 MiB by
    /// default. Further saves are dropped, or [wait](Self::wait_for_room). If none is waiting, an entry of any size is
    /// accepted.
    pub fn queue(mut self, count: usize, bytes: u64) -> Self {
        self.queue_count = count;
        self.queue_bytes = bytes;
        self
    }

    /// A save waits while the queue is full, instead of being dropped: for programs that fill a storage. The next
    /// [`flush`](module_cache_core::ModuleCache::flush) returns errors of uploads.
    pub fn wait_for_room(mut self) -> Self {
        self.waits_for_room = true;
        self
    }

    /// The number of parts of entries that all loads of this cache fetch at the same time: 1 to 1024, by default 16.
    pub fn concurrency(mut self, requests: usize) -> Self {
        self.concurrency = requests.clamp(1, MOST_REQUESTS);
        self
    }

    /// Only reads the storage: writes and removes nothing there, and takes no leases.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The shortest interval between checks whether an entry that a folder in front of this cache has is still in the
    /// storage; if it is not, it is uploaded again. A minute by default; `None` turns the checks off.
    pub fn backfill(mut self, interval: Option<Duration>) -> Self {
        self.backfill = interval;
        self
    }

    /// The time after which a [lease](crate::RemoteCache#leases) that its holder does not renew expires; 10 seconds by
    /// default. All programs that share the storage should use the same. A holder that died delays the others by this time,
    /// once; one that is cut off from the storage for longer loses its lease. A program that has waited for two terms and
    /// three times the expected compilation time compiles without a lease, even if the holder still renews it.
    pub fn lease_term(mut self, term: Duration) -> Self {
        self.lease_term = term.min(LONGEST);
        self
    }

    /// Takes no leases: each host compiles on its own.
    ///
    /// For services that offer conditional writes but break them when two hosts write at the same time.
    pub fn without_leases(mut self) -> Self {
        self.leases = LeaseChoice::Off;
        self
    }

    /// Keeps leases in Redis, with names that begin with `prefix`, independently of where entries are kept.
    /// [`RemoteCache::from_uri`](crate::RemoteCache::from_uri) does this for `redis://`.
    #[cfg(feature = "redis")]
    pub fn redis_leases(mut self, client: redis::Client, prefix: impl Into<String>) -> Self {
        let (client, prefix) = (Box::new(client), prefix.into());
        self.leases = LeaseChoice::Redis { client, prefix };
        self
    }

    /// The longest time that dropping the last handle waits for uploads; 5 seconds by default.
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
