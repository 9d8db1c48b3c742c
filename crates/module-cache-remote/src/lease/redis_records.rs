//! Records as keys of Redis, which `OpenDAL` cannot write on a condition.
//!
//! They expire a term after their last renewal, on the server's clock, so that nothing of a dead holder stays.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Script};
use tokio::sync::OnceCell;

use super::Version;
use crate::failure::Failure;

/// A record is its own version: each renewal writes another one.
#[derive(Clone)]
pub(crate) struct RedisRecords {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    prefix: String,
    term: Duration,
    connection: OnceCell<ConnectionManager>,
    replace: Script,
    remove: Script,
}

impl RedisRecords {
    /// Records whose names begin with `prefix`, and which last for a term. Nothing is connected yet.
    pub(crate) fn new(client: Client, prefix: String, term: Duration) -> Self {
        Self {
            shared: Arc::new(Shared {
                client,
                prefix,
                term,
                connection: OnceCell::new(),
                replace: Script::new(
                    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
                     redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1",
                ),
                remove: Script::new(
                    "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
                     return redis.call('DEL', KEYS[1])",
                ),
            }),
        }
    }

    pub(super) async fn create(&self, name: &str, body: &str) -> Result<Option<Version>, Failure> {
        let mut set = redis::cmd("SET");
        set.arg(self.key(name)).arg(body).arg("NX");
        set.arg("PX").arg(self.milliseconds());
        let made: Option<String> = set.query_async(&mut self.connection().await?).await?;
        Ok(made.map(|_| Version::Redis(body.to_owned())))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<(Version, String)>, Failure> {
        let mut get = redis::cmd("GET");
        get.arg(self.key(name));
        let found: Option<String> = get.query_async(&mut self.connection().await?).await?;
        Ok(found.map(|body| (Version::Redis(body.clone()), body)))
    }

    pub(super) async fn replace(
        &self,
        name: &str,
        seen: &str,
        body: &str,
    ) -> Result<Option<Version>, Failure> {
        let mut call = self.shared.replace.key(self.key(name));
        call.arg(seen).arg(body).arg(self.milliseconds());
        let replaced: bool = call.invoke_async(&mut self.connection().await?).await?;
        Ok(replaced.then(|| Version::Redis(body.to_owned())))
    }

    pub(super) async fn remove(&self, name: &str, seen: &str) -> Result<(), Failure> {
        let mut call = self.shared.remove.key(self.key(name));
        call.arg(seen);
        let _: bool = call.invoke_async(&mut self.connection().await?).await?;
        Ok(())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.shared.prefix)
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.shared.term.as_millis()).unwrap_or(u64::MAX)
    }

    /// One connection, which repairs itself, for all.
    async fn connection(&self) -> Result<ConnectionManager, Failure> {
        let connect = || {
            // Whoever asks has a limit for the whole request.
            let config = ConnectionManagerConfig::new()
                .set_number_of_retries(1)
                .set_connection_timeout(None)
                .set_response_timeout(None);
            ConnectionManager::new_with_config(self.shared.client.clone(), config)
        };
        let connection = self.shared.connection.get_or_try_init(connect).await?;
        Ok(connection.clone())
    }
}

impl std::fmt::Debug for RedisRecords {
    /// Without the client, which has a password.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RedisRecords")
            .field("prefix", &self.shared.prefix)
            .finish_non_exhaustive()
    }
}
