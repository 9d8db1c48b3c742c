//! Records as keys of Redis, which `OpenDAL` cannot write on a condition.
//!
//! They expire a term after their last renewal, on the server's clock, so that nothing of a dead holder stays.

use std::time::Duration;

use redis::{Client, Cmd, FromRedisValue};

use super::Version;
use crate::failure::Failure;
use crate::redis_connection::RedisConnection;

/// Replaces a record, if it is what it is said to be.
const REPLACE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
                       redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1";

/// Removes it.
const REMOVE: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end \
                      return redis.call('DEL', KEYS[1])";

/// A record is its own version: each renewal writes another one.
#[derive(Debug, Clone)]
pub(crate) struct RedisRecords {
    connection: RedisConnection,
    prefix: String,
    term: Duration,
}

impl RedisRecords {
    /// Records whose names begin with `prefix`, and which last for a term. Nothing is connected yet.
    pub(crate) fn new(client: Client, prefix: String, term: Duration) -> Self {
        Self {
            connection: RedisConnection::new(client),
            prefix,
            term,
        }
    }

    pub(super) async fn create(&self, name: &str, body: &str) -> Result<Option<Version>, Failure> {
        let mut set = redis::cmd("SET");
        set.arg(self.key(name)).arg(body).arg("NX");
        let made: Option<String> = self.ask(set.arg("PX").arg(self.milliseconds())).await?;
        Ok(made.map(|_| Version::Redis(body.to_owned())))
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<(Version, String)>, Failure> {
        let found: Option<String> = self.ask(redis::cmd("GET").arg(self.key(name))).await?;
        Ok(found.map(|body| (Version::Redis(body.clone()), body)))
    }

    pub(super) async fn replace(
        &self,
        name: &str,
        seen: &str,
        body: &str,
    ) -> Result<Option<Version>, Failure> {
        let mut call = self.call(REPLACE, name);
        let call = call.arg(seen).arg(body).arg(self.milliseconds());
        let replaced: bool = self.ask(call).await?;
        Ok(replaced.then(|| Version::Redis(body.to_owned())))
    }

    pub(super) async fn remove(&self, name: &str, seen: &str) -> Result<(), Failure> {
        let _: bool = self.ask(self.call(REMOVE, name).arg(seen)).await?;
        Ok(())
    }

    async fn ask<T: FromRedisValue>(&self, asked: &Cmd) -> Result<T, Failure> {
        Ok(self.connection.ask(asked).await?)
    }

    /// A call of a script on one record.
    fn call(&self, script: &str, name: &str) -> Cmd {
        let mut call = redis::cmd("EVAL");
        call.arg(script).arg(1).arg(self.key(name));
        call
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.term.as_millis()).unwrap_or(u64::MAX)
    }
}
