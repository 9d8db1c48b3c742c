//! A model of a storage that hosts share: how long it takes, what it refuses when it has too much to do, and how it fails.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use module_cache_remote::opendal::raw::{
    OpCopy, OpCreateDir, OpDelete, OpList, OpPresign, OpRead, OpRename, OpStat, OpWrite,
    RpCreateDir, RpPresign, RpRead, RpRename, RpStat, Service, ServiceInfo, oio,
};
use module_cache_remote::opendal::{
    Buffer, BytesRange, Capability, Error, ErrorKind, Metadata, MetadataBuilder, OperationContext,
    Operator, Result,
};
use tokio::time::{Instant, sleep, sleep_until};

/// What is kept of an object besides its length: no host looks at more.
const KEPT: usize = 256 << 10;

/// What goes over a link before another one's turn.
const CHUNK: u64 = 1 << 20;

/// How a storage behaves. Times are medians.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) name: &'static str,
    /// Until the first byte of an answer.
    pub(crate) latency: Duration,
    /// What it does in a second, and refuses beyond that; for each part of its names that it has split them into.
    pub(crate) reads: f64,
    pub(crate) writes: f64,
    pub(crate) partitions: usize,
    /// Bytes a second for all hosts together, and for each.
    pub(crate) bandwidth: f64,
    pub(crate) link: f64,
    /// One after the other, as Redis does; a request takes this.
    pub(crate) one_by_one: Option<Duration>,
    /// Dollars for a thousand requests.
    pub(crate) dollars_per_1000_reads: f64,
    pub(crate) dollars_per_1000_writes: f64,
    pub(crate) failures: Vec<Failing>,
}

/// How it fails, and when since the beginning.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Connections are refused.
    Refuses,
    /// Nothing is ever answered.
    Hangs,
    /// So many of a hundred requests are answered with an error.
    Errors(u8),
    /// Writes are refused.
    ReadOnly,
    /// Leases are not given.
    NoLeases,
    /// Everything takes so many times as long.
    Slow(u32),
    /// All that is stored is gone at the beginning of it.
    Loses,
}

/// The storage.
pub(crate) struct Storage {
    model: Model,
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: HashMap<String, Object>,
    versions: u64,
    random: u64,
    /// For reads and writes of each part: when the next one may come.
    reads: HashMap<usize, Instant>,
    writes: HashMap<usize, Instant>,
    server: Option<Instant>,
    network: Option<Instant>,
    lost: bool,
    pub(crate) counts: Counts,
}

/// What was asked of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) refused: u64,
    pub(crate) bytes: u64,
}

#[derive(Clone)]
struct Object {
    len: u64,
    end: Arc<Vec<u8>>,
    version: u64,
}

/// The storage as one host reaches it.
#[derive(Clone)]
struct Reached {
    storage: Arc<Storage>,
    link: Arc<Mutex<Option<Instant>>>,
    /// From when on nothing is heard of the host any more.
    dies: Option<Instant>,
}

impl Storage {
    pub(crate) fn new(model: Model, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            model,
            begun: Instant::now(),
            state: Mutex::new(State {
                random: seed,
                ..State::default()
            }),
        })
    }

    /// How another host reaches it, until it dies.
    pub(crate) fn operator(self: &Arc<Self>, dies: Option<Instant>) -> Operator {
        let reached = Reached {
            storage: Arc::clone(self),
            link: Arc::default(),
            dies,
        };
        Operator::from_parts(OperationContext::default(), Arc::new(reached))
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.lock().unwrap().counts
    }

    pub(crate) fn dollars(&self) -> f64 {
        let counts = self.counts();
        let (reads, writes) = (counts.reads as f64, counts.writes as f64);
        reads / 1000.0 * self.model.dollars_per_1000_reads
            + writes / 1000.0 * self.model.dollars_per_1000_writes
    }

    fn failing(&self) -> Option<How> {
        let now = self.begun.elapsed();
        let mut failures = self.model.failures.iter();
        let failing = failures.find(|failing| failing.from <= now && now < failing.until)?;
        Some(failing.how)
    }

    /// Takes a request in, and waits until it is answered, or fails.
    async fn request(&self, path: &str, is_write: bool) -> Result<()> {
        let failing = self.failing();
        let mut wait = self.model.latency;
        let refused = {
            let mut state = self.state.lock().unwrap();
            if is_write {
                state.counts.writes += 1;
            } else {
                state.counts.reads += 1;
            }
            let random = state.random();
            wait = wait.mul_f64(0.6 + 0.8 * random);
            if let Some(How::Slow(times)) = failing {
                wait *= times;
            }
            if failing == Some(How::Loses) && !state.lost {
                state.objects.clear();
                state.lost = true;
            }
            let now = Instant::now();
            if let Some(each) = self.model.one_by_one {
                let free = state.server.unwrap_or(now).max(now) + each;
                state.server = Some(free);
                wait += free - now;
            }
            let error = match failing {
                Some(How::Refuses) => Some(ErrorKind::Unexpected),
                Some(How::Errors(of_100)) if random * 100.0 < f64::from(of_100) => {
                    Some(ErrorKind::Unexpected)
                }
                Some(How::ReadOnly) if is_write => Some(ErrorKind::PermissionDenied),
                Some(How::NoLeases) if is_write && path.contains("/leases/") => {
                    Some(ErrorKind::Unsupported)
                }
                _ => None,
            };
            let too_many = !state.takes(&self.model, path, is_write, now);
            let error = error.or(too_many.then_some(ErrorKind::RateLimited));
            if error.is_some() {
                state.counts.refused += 1;
            }
            error
        };
        if failing == Some(How::Hangs) {
            std::future::pending::<()>().await;
        }
        sleep(wait).await;
        match refused {
            None => Ok(()),
            Some(kind) => {
                let error = Error::new(kind, "it fails").set_source(std::io::Error::other("why"));
                Err(match kind {
                    ErrorKind::PermissionDenied | ErrorKind::Unsupported => error,
                    _ => error.set_temporary(),
                })
            }
        }
    }
}

impl State {
    /// Between 0 and 1.
    fn random(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.random >> 40) as f64 / (1_u64 << 24) as f64
    }

    /// Whether there is room for another request: what comes within half a second is taken in.
    fn takes(&mut self, model: &Model, path: &str, is_write: bool, now: Instant) -> bool {
        let (rate, next) = if is_write {
            (model.writes, &mut self.writes)
        } else {
            (model.reads, &mut self.reads)
        };
        // A name ends with the hash of a module.
        let end = path.bytes().rev().nth(60).map_or(0, usize::from);
        let next = next.entry(end % model.partitions).or_insert(now);
        if *next > now + Duration::from_millis(500) {
            return false;
        }
        *next = (*next).max(now) + Duration::from_secs_f64(1.0 / rate);
        true
    }
}

impl Reached {
    /// Waits until so many bytes have come over the link of the host and the network of the storage.
    async fn transfer(&self, bytes: u64) {
        let now = Instant::now();
        let model = &self.storage.model;
        let take = |free: &mut Option<Instant>, rate: f64| {
            let takes = Duration::from_secs_f64(bytes as f64 / rate);
            let until = free.unwrap_or(now).max(now) + takes;
            *free = Some(until);
            until
        };
        let until = {
            let mut state = self.storage.state.lock().unwrap();
            state.counts.bytes += bytes;
            let network = take(&mut state.network, model.bandwidth);
            network.max(take(&mut self.link.lock().unwrap(), model.link))
        };
        sleep_until(until).await;
    }

    async fn request(&self, path: &str, is_write: bool) -> Result<()> {
        if self.dies.is_some_and(|dies| dies <= Instant::now()) {
            std::future::pending::<()>().await;
        }
        self.storage.request(path, is_write).await
    }

    async fn object(&self, path: &str) -> Result<Object> {
        self.request(path, false).await?;
        let state = self.storage.state.lock().unwrap();
        let object = state.objects.get(path).cloned();
        object.ok_or_else(|| Error::new(ErrorKind::NotFound, "there is no such object"))
    }
}

impl Object {
    fn metadata(&self) -> Metadata {
        let etag = format!("\"{}\"", self.version);
        let mut metadata = MetadataBuilder::file(self.len);
        metadata.etag(etag);
        metadata.build()
    }
}

impl fmt::Debug for Reached {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.storage.model.name)
    }
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Unsupported, "no host asks for it"))
}

impl Service for Reached {
    type Reader = oio::StreamReader<Reading>;
    type Writer = Writing;
    type Lister = ();
    type Deleter = oio::OneShotDeleter<Reached>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        ServiceInfo::new("model", "/", self.storage.model.name)
    }

    fn capability(&self) -> Capability {
        Capability {
            read: true,
            read_with_suffix: true,
            read_with_if_match: true,
            write: true,
            write_with_if_match: true,
            write_with_if_not_exists: true,
            delete: true,
            stat: true,
            shared: true,
            ..Capability::default()
        }
    }

    async fn stat(&self, _: &OperationContext, path: &str, _: OpStat) -> Result<RpStat> {
        Ok(RpStat::new(self.object(path).await?.metadata()))
    }

    fn read(&self, _: &OperationContext, path: &str, _: OpRead) -> Result<Self::Reader> {
        Ok(oio::StreamReader::new(Reading {
            reached: self.clone(),
            path: path.to_owned(),
        }))
    }

    fn write(&self, _: &OperationContext, path: &str, args: OpWrite) -> Result<Writing> {
        Ok(Writing {
            reached: self.clone(),
            path: path.to_owned(),
            if_missing: args.if_not_exists(),
            if_match: args.if_match().map(str::to_owned),
            content: oio::QueueBuf::new(),
        })
    }

    fn delete(&self, _: &OperationContext) -> Result<Self::Deleter> {
        Ok(oio::OneShotDeleter::new(self.clone()))
    }

    async fn create_dir(
        &self,
        _: &OperationContext,
        _: &str,
        _: OpCreateDir,
    ) -> Result<RpCreateDir> {
        unsupported()
    }

    fn list(&self, _: &OperationContext, _: &str, _: OpList) -> Result<()> {
        unsupported()
    }

    fn copy(&self, _: &OperationContext, _: &str, _: &str, _: OpCopy) -> Result<()> {
        unsupported()
    }

    async fn rename(
        &self,
        _: &OperationContext,
        _: &str,
        _: &str,
        _: OpRename,
    ) -> Result<RpRename> {
        unsupported()
    }

    async fn presign(&self, _: &OperationContext, _: &str, _: OpPresign) -> Result<RpPresign> {
        unsupported()
    }
}

/// A part of an object that is read.
pub(crate) struct Reading {
    reached: Reached,
    path: String,
}

impl oio::StreamRead for Reading {
    async fn open(&self, range: BytesRange) -> Result<(RpRead, Box<dyn oio::ReadStreamDyn>)> {
        let object = self.reached.object(&self.path).await?;
        let range = range.to_content_range(object.len as usize)?;
        let metadata = object.metadata();
        let coming = Coming {
            reached: self.reached.clone(),
            object,
            next: range.start as u64,
            end: range.end as u64,
        };
        Ok((RpRead::new(metadata), Box::new(coming)))
    }
}

struct Coming {
    reached: Reached,
    object: Object,
    next: u64,
    end: u64,
}

impl oio::ReadStream for Coming {
    async fn read(&mut self) -> Result<Buffer> {
        static ZEROS: [u8; CHUNK as usize] = [0; CHUNK as usize];
        let kept = self.object.len - self.object.end.len() as u64;
        // Up to what is kept, and then that.
        let until = if self.next < kept {
            self.end.min(kept)
        } else {
            self.end
        };
        let until = until.min(self.next + CHUNK);
        if until <= self.next {
            return Ok(Buffer::new());
        }
        let (from, len) = (self.next, (until - self.next) as usize);
        self.reached.transfer(len as u64).await;
        self.next = until;
        Ok(if from < kept {
            Buffer::from(&ZEROS[..len])
        } else {
            let from = (from - kept) as usize;
            Buffer::from(self.object.end[from..from + len].to_vec())
        })
    }
}

/// An object that is written.
pub(crate) struct Writing {
    reached: Reached,
    path: String,
    if_missing: bool,
    if_match: Option<String>,
    content: oio::QueueBuf,
}

impl oio::Write for Writing {
    async fn write(&mut self, content: Buffer) -> Result<()> {
        self.content.push(content);
        Ok(())
    }

    async fn close(&mut self) -> Result<Metadata> {
        let content = self.content.clone().collect().to_vec();
        let storage = &self.reached.storage;
        self.reached.request(&self.path, true).await?;
        self.reached.transfer(content.len() as u64).await;
        let mut state = storage.state.lock().unwrap();
        let known = state.objects.get(&self.path);
        let version = known.map(|object| format!("\"{}\"", object.version));
        if (self.if_missing && version.is_some())
            || (self.if_match.is_some() && self.if_match != version)
        {
            return Err(Error::new(
                ErrorKind::ConditionNotMatch,
                "it is another one",
            ));
        }
        state.versions += 1;
        let kept = content.len().saturating_sub(KEPT);
        let object = Object {
            len: content.len() as u64,
            end: Arc::new(content[kept..].to_vec()),
            version: state.versions,
        };
        let metadata = object.metadata();
        state.objects.insert(self.path.clone(), object);
        Ok(metadata)
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

impl oio::OneShotDelete for Reached {
    async fn delete_once(&self, path: String, _: OpDelete) -> Result<()> {
        self.request(&path, true).await?;
        self.storage.state.lock().unwrap().objects.remove(&path);
        Ok(())
    }
}
