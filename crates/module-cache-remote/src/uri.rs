//! Storages by name: `s3://bucket/prefix`, `redis://host/prefix`, and so on.

use module_cache_core::{CacheError, Trust};
use opendal::{Operator, OperatorUri};

use crate::{RemoteCache, RemoteCacheBuilder};

impl RemoteCache {
    /// Options for a cache on the storage that `uri` names:
    ///
    /// | service | URI |
    /// |---|---|
    /// | S3 and alike | `s3://bucket/prefix?region=eu-central-1&endpoint=https://…` |
    /// | Google Cloud Storage | `gcs://bucket/prefix` |
    /// | Azure Blob | `azblob://container/prefix?endpoint=https://…` |
    /// | Redis | `redis://host:6379/0/prefix`, `rediss://…` with TLS |
    /// | memcached | `memcached://host:11211/prefix` |
    /// | HTTP, read-only | `http://host/path`, `https://…` |
    /// | a directory | `fs:///path` |
    ///
    /// Parameters are those of the service's builder in `OpenDAL`. Credentials are found where the service's
    /// own tools look for them, such as `AWS_ACCESS_KEY_ID`, unless the URI has some.
    ///
    /// # Errors
    ///
    /// When the URI is wrong, or its service is a feature that this was built without.
    pub fn from_uri(uri: &str, trust: Trust) -> Result<RemoteCacheBuilder, CacheError> {
        // So that services are known by their names.
        opendal::install_default();
        let open = || {
            let uri = OperatorUri::new(uri, [])?;
            match uri.scheme() {
                #[cfg(feature = "redis")]
                "redis" | "rediss" => redis_builder(&uri, trust),
                _ => Ok(RemoteCache::builder(Operator::from_uri(uri)?, trust)),
            }
        };
        open().map_err(|error: opendal::Error| {
            CacheError::backend("remote storage", "use this URI", error)
        })
    }
}

/// Redis for both entries and leases, with the same credentials, database and prefix.
#[cfg(feature = "redis")]
fn redis_builder(uri: &OperatorUri, trust: Trust) -> opendal::Result<RemoteCacheBuilder> {
    use opendal::{Error, ErrorKind};
    use redis::IntoConnectionInfo;

    let invalid = |error: redis::RedisError| {
        Error::new(
            ErrorKind::ConfigInvalid,
            "the URI does not name a Redis server",
        )
        .set_source(error)
    };
    let endpoint = format!(
        "{}://{}",
        uri.scheme(),
        uri.authority().unwrap_or("127.0.0.1")
    );
    let path = uri.root().unwrap_or_default();
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let (database, prefix) = match first.parse::<i64>() {
        Ok(database) => (database, rest),
        Err(_) => (0, path),
    };
    // Parsed by the client, which knows how a password is written in a URI.
    let user = match (uri.username(), uri.password()) {
        (None, None) => String::new(),
        (user, password) => format!(
            "{}:{}@",
            user.unwrap_or_default(),
            password.unwrap_or_default()
        ),
    };
    let server = endpoint.replacen("://", &format!("://{user}"), 1);
    let info = format!("{server}/{database}")
        .into_connection_info()
        .map_err(invalid)?;

    let mut options = uri.options().clone();
    let mut set = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            options.insert(name.to_owned(), value.to_owned());
        }
    };
    set("endpoint", Some(&endpoint));
    set("db", Some(&database.to_string()));
    set("root", Some(prefix));
    set("username", info.redis_settings().username());
    set("password", info.redis_settings().password());
    let operator = Operator::via_iter("redis", options)?;
    let client = redis::Client::open(info).map_err(invalid)?;
    let prefix = match prefix {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    Ok(RemoteCache::builder(operator, trust).redis_leases(client, prefix))
}

#[cfg(test)]
mod tests {
    use module_cache_core::SharedKey;

    use super::*;

    fn open(uri: &str) -> Result<RemoteCacheBuilder, CacheError> {
        RemoteCache::from_uri(uri, Trust::shared(SharedKey::from_bytes([1; 32])))
    }

    #[test]
    fn what_is_no_storage_is_an_error_that_shows_no_password() {
        for uri in [
            "",
            "/a/path",
            "nonsense://user:secret@host/x",
            "redis://user:secret@host:port/x",
            "http://user:secret@",
        ] {
            let error = format!("{:?}", open(uri).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    #[cfg(feature = "redis")]
    fn a_redis_uri_names_user_database_and_prefix() {
        use crate::builder::LeaseChoice;

        for (uri, user, database, expected) in [
            ("redis://host", None, 0, ""),
            ("redis://host/2", None, 2, ""),
            ("redis://host/a/b", None, 0, "a/b/"),
            ("rediss://me:p%40ss@host:7000/2/a", Some("me"), 2, "a/"),
        ] {
            let options = open(uri).unwrap();
            let LeaseChoice::Redis { client, prefix } = options.leases else {
                panic!("Redis keeps the leases of Redis");
            };
            assert_eq!(prefix, expected);
            let settings = client.get_connection_info().redis_settings();
            assert_eq!(settings.username(), user);
            assert_eq!(settings.password(), user.map(|_| "p@ss"));
            assert_eq!(settings.db(), database);
            assert_eq!(*options.operator.info().root(), format!("/{expected}"));
        }
    }
}
