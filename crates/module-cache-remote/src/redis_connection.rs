//! One connection to a Redis server, which repairs itself.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult,
    ServerErrorKind,
};

#[derive(Clone)]
pub(crate) struct RedisConnection(Arc<Shared>);

struct Shared {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl RedisConnection {
    /// Nothing is connected yet.
    pub(crate) fn new(client: Client) -> Self {
        Self(Arc::new(Shared {
            client,
            connection: Mutex::default(),
        }))
    }

    /// Asks the server on the connection; on a new one, if that of before is closed. Where whoever asks does not wait for the end
    /// of it, the next one gets another: on one that hangs, an answer would never come, or be taken for that to another
    /// question.
    pub(crate) async fn ask<T: FromRedisValue>(&self, asked: &Cmd) -> RedisResult<T> {
        let mut unanswered = Unanswered(Some(&self.0));
        let known = self.0.connection.lock().clone();
        let is_known = known.is_some();
        let connection = match known {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let mut answer = asked.query_async(&mut connection.clone()).await;
        if is_known && answer.as_ref().is_err_and(is_closed) {
            answer = asked.query_async(&mut self.connect().await?).await;
        }
        if !answer.as_ref().is_err_and(is_closed) {
            unanswered.0 = None;
        }
        answer
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        // Whoever asks has a limit.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let client = &self.0.client;
        let connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        *self.0.connection.lock() = Some(connection.clone());
        Ok(connection)
    }
}

/// Whether nothing more comes on this connection.
fn is_closed(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error()
}

/// What a server will not do, and why: asked again, it would answer the same.
pub(crate) fn refusal(error: &RedisError) -> Option<(opendal::ErrorKind, &'static str)> {
    use opendal::ErrorKind::{ConfigInvalid, PermissionDenied};

    match error.kind() {
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) => Some((
            ConfigInvalid,
            "the server is a part of a Redis Cluster; name a server or a proxy that has all keys",
        )),
        ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ReadOnly)
        | ErrorKind::AuthenticationFailed => {
            Some((PermissionDenied, "the server refused the request"))
        }
        _ if error.code() == Some("NOAUTH") => {
            Some((PermissionDenied, "the server requires a password"))
        }
        // It has no room, or nobody to keep a copy.
        _ if matches!(error.code(), Some("OOM" | "NOREPLICAS" | "MISCONF")) => {
            Some((PermissionDenied, "the server is read-only"))
        }
        _ => None,
    }
}

/// A question that was not answered when this is dropped with its connection in it.
struct Unanswered<'a>(Option<&'a Shared>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            *shared.connection.lock() = None;
        }
    }
}

impl fmt::Debug for RedisConnection {
    /// Without the client, which has a password.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RedisConnection").finish_non_exhaustive()
    }
}
