//! Redis as a storage of entries.
//!
//! `OpenDAL` has a service for Redis, too, whose client gives each answer half a second, however large it is. This one reads
//! and answers piece by piece, and leaves it to the caller for how long nothing may come.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use opendal::raw::{
    OpDelete, OpList, OpRead, OpStat, OpWrite, RpRead, RpStat, Service, ServiceInfo, oio,
};
use opendal::{
    Buffer, BytesRange, Capability, Error, ErrorKind, Metadata, MetadataBuilder, OperationContext,
    Operator, Result,
};
use parking_lot::Mutex;
use redis::{Client, Cmd, FromRedisValue, RedisError};

use crate::redis_connection::{RedisConnection, refusal};
use crate::unsupported::{unsupported, unsupported_operations};

/// How much is asked for at a time. While pieces of this size come within the time limit, a slow network delays loads.
const PIECE: usize = 128 << 10;

/// How many of these are asked for at a time: with a network of 100 MB/s, it is not idle as long as the thread that asks
/// waits for less than 5 ms for its turn on a busy CPU.
const AHEAD: usize = 4;

/// An operator on the server of `client`, at `address`, with names that begin with `prefix`.
pub(crate) fn operator(client: Client, address: &str, prefix: &str) -> Operator {
    let service = RedisService {
        connection: RedisConnection::new(client),
        prefix: prefix.to_owned(),
        info: ServiceInfo::new("redis", format!("/{prefix}"), address),
    };
    Operator::from_parts(OperationContext::default(), Arc::new(service))
}

/// A server, and how the names of its entries begin.
#[derive(Debug, Clone)]
struct RedisService {
    connection: RedisConnection,
    prefix: String,
    info: ServiceInfo,
}

/// An entry on a server.
#[derive(Debug, Clone)]
struct Value {
    connection: RedisConnection,
    key: String,
}

impl RedisService {
    fn value(&self, path: &str) -> Value {
        Value {
            connection: self.connection.clone(),
            key: format!("{}{path}", self.prefix),
        }
    }
}

impl Value {
    async fn ask<T: FromRedisValue>(&self, asked: &Cmd) -> Result<T> {
        self.connection.ask(asked).await.map_err(explained)
    }

    /// Nothing that is stored here is empty.
    async fn len(&self) -> Result<usize> {
        match self.ask(&Cmd::strlen(&self.key)).await? {
            0 => Err(Error::new(ErrorKind::NotFound, "there is no such key")),
            len => Ok(len),
        }
    }

    async fn part(&self, from: usize, to: usize) -> Result<Bytes> {
        let [from, to] = [from, to - 1].map(|at| isize::try_from(at).unwrap_or(isize::MAX));
        self.ask(&Cmd::getrange(&self.key, from, to)).await
    }
}

fn metadata(len: usize) -> Metadata {
    MetadataBuilder::file(len as u64).build()
}

fn explained(error: RedisError) -> Error {
    match refusal(&error) {
        Some((kind, text)) => Error::new(kind, text).set_source(error),
        None => Error::new(ErrorKind::Unexpected, "the server failed")
            .set_source(error)
            .set_temporary(),
    }
}

impl Service for RedisService {
    type Reader = oio::StreamReader<Value>;
    type Writer = oio::OneShotWriter<Value>;
    type Lister = ();
    type Deleter = oio::OneShotDeleter<RedisService>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        self.info.clone()
    }

    fn capability(&self) -> Capability {
        Capability {
            read: true,
            read_with_suffix: true,
            write: true,
            delete: true,
            stat: true,
            shared: true,
            ..Capability::default()
        }
    }

    async fn stat(&self, _: &OperationContext, path: &str, _: OpStat) -> Result<RpStat> {
        Ok(RpStat::new(metadata(self.value(path).len().await?)))
    }

    fn read(&self, _: &OperationContext, path: &str, _: OpRead) -> Result<Self::Reader> {
        Ok(oio::StreamReader::new(self.value(path)))
    }

    fn write(&self, _: &OperationContext, path: &str, _: OpWrite) -> Result<Self::Writer> {
        Ok(oio::OneShotWriter::new(self.value(path)))
    }

    fn delete(&self, _: &OperationContext) -> Result<Self::Deleter> {
        Ok(oio::OneShotDeleter::new(self.clone()))
    }

    fn list(&self, _: &OperationContext, _: &str, _: OpList) -> Result<()> {
        unsupported()
    }

    unsupported_operations!();
}

impl oio::StreamRead for Value {
    async fn open(&self, range: BytesRange) -> Result<(RpRead, Box<dyn oio::ReadStreamDyn>)> {
        let len = self.len().await?;
        let range = range.to_content_range(len)?;
        let (value, end) = (self.clone(), range.end);
        let pieces = stream::iter(range.step_by(PIECE)).map(move |from| {
            let value = value.clone();
            async move { value.part(from, end.min(from + PIECE)).await }
        });
        let pieces = Pieces(Mutex::new(pieces.buffered(AHEAD).boxed()));
        Ok((RpRead::new(metadata(len)), Box::new(pieces)))
    }
}

/// What is left of a part of an entry.
struct Pieces(Mutex<BoxStream<'static, Result<Bytes>>>);

impl oio::ReadStream for Pieces {
    async fn read(&mut self) -> Result<Buffer> {
        let piece = self.0.get_mut().try_next().await?;
        Ok(piece.map_or_else(Buffer::new, Buffer::from))
    }
}

impl oio::OneShotWrite for Value {
    async fn write_once(&self, content: Buffer) -> Result<Metadata> {
        let content = content.to_vec();
        let len = content.len();
        let () = self.ask(&Cmd::set(&self.key, content)).await?;
        Ok(metadata(len))
    }
}

impl oio::OneShotDelete for RedisService {
    async fn delete_once(&self, path: String, _: OpDelete) -> Result<()> {
        let value = self.value(&path);
        value.ask(&Cmd::del(&value.key)).await
    }
}
