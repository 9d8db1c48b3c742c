//! Storages by name: `s3://bucket/prefix`, `redis://host/prefix`, and so on.

use std::time::Duration;

use module_cache_core::{CacheError, Trust};
use opendal::{Operator, OperatorUri};

use crate::failure::StorageError;
#[cfg(feature = "oci")]
use crate::oci_service;
#[cfg(feature = "redis")]
use crate::redis_service;
use crate::remote_cache::install_default;
use crate::{RemoteCache, RemoteCacheBuilder};

impl RemoteCache {
    /// Options for a cache on the storage that `uri` names:
    ///
    /// | service | URI |
    /// |---|---|
    /// | S3 and compatible services | `s3://bucket/prefix?region=eu-central-1&endpoint=https://…` |
    /// | Google Cloud Storage | `gcs://bucket/prefix` |
    /// | Azure Blob | `azblob://container/prefix?endpoint=https://…` |
    /// | Redis | `redis://host:6379/0/prefix`, `rediss://…` with TLS |
    /// | memcached | `memcached://host:11211/prefix` |
    /// | OCI registries | `oci://registry.example/team/modules` |
    /// | HTTP, read-only | `http://host/path`, `https://…` |
    /// | a directory | `fs:///path` |
    ///
    /// Parameters are those of the service's builder in `OpenDAL`, and of this crate: `read_only=true`, `leases=off`,
    /// `backfill=off`, `time_limit` in seconds, `concurrency`, and `max_entry_size` in bytes. Credentials are found where the
    /// service's own tools look for them, such as `AWS_ACCESS_KEY_ID`, unless the URI has some. A registry is accessed in plain
    /// text on a loopback address, and elsewhere only with `plain_http=true`.
    ///
    /// # Errors
    ///
    /// When the URI is wrong, or its service is a feature that this crate was built without.
    pub fn from_uri(uri: &str, trust: Trust) -> Result<RemoteCacheBuilder, CacheError> {
        install_default();
        let open = || {
            let (uri, choices) = Choices::split(uri)?;
            refuse_unknown(&uri)?;
            let options = match uri.scheme() {
                #[cfg(feature = "redis")]
                "redis" | "rediss" => redis_builder(&uri, trust)?,
                #[cfg(feature = "oci")]
                "oci" => RemoteCache::builder(oci_service::operator(&uri)?, trust),
                _ => RemoteCache::builder(operator(uri)?, trust),
            };
            Ok(choices.apply(options))
        };
        open().map_err(|error: opendal::Error| {
            CacheError::backend("remote storage", "use this URI", StorageError::from(error))
        })
    }
}

/// What a URI says of this cache, and not of the service.
#[derive(Debug, Default)]
struct Choices {
    read_only: bool,
    without_leases: bool,
    without_backfill: bool,
    time_limit: Option<Duration>,
    concurrency: Option<usize>,
    max_entry_size: Option<u64>,
}

impl Choices {
    /// Takes them out of what the URI says.
    fn split(text: &str) -> opendal::Result<(OperatorUri, Self)> {
        let uri = OperatorUri::new(text, [])?;
        let mut choices = Self::default();
        let mut of_service = Vec::new();
        for (name, value) in uri.options() {
            let known = match name.as_str() {
                "read_only" => value.parse().map(|is| choices.read_only = is).is_ok(),
                "leases" => {
                    choices.without_leases = value == "off";
                    choices.without_leases
                }
                "backfill" => {
                    choices.without_backfill = value == "off";
                    choices.without_backfill
                }
                "time_limit" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    choices.time_limit = seconds.map(Duration::from_secs);
                    choices.time_limit.is_some()
                }
                "concurrency" => {
                    choices.concurrency = value.parse().ok().filter(|requests| *requests > 0);
                    choices.concurrency.is_some()
                }
                "max_entry_size" => {
                    choices.max_entry_size = value.parse().ok();
                    choices.max_entry_size.is_some()
                }
                other => {
                    if let Some(meant) = meant(other) {
                        let reason = "a parameter is misspelt";
                        return Err(invalid(reason, name).with_context("meant", meant));
                    }
                    of_service.push((name.clone(), value.clone()));
                    continue;
                }
            };
            if !known {
                let reason = "a parameter has a value that is not allowed: `read_only=true`, \
                              `leases=off`, `backfill=off`, and whole numbers for the others";
                return Err(invalid(reason, name));
            }
        }
        // Without them, as the service would not know them.
        let base = text.split_once('?').map_or(text, |(base, _)| base);
        Ok((OperatorUri::new(base, of_service)?, choices))
    }

    fn apply(self, mut options: RemoteCacheBuilder) -> RemoteCacheBuilder {
        if self.read_only {
            options = options.read_only();
        }
        if self.without_leases {
            options = options.without_leases();
        }
        if self.without_backfill {
            options = options.backfill(None);
        }
        if let Some(limit) = self.time_limit {
            options = options.time_limit(limit);
        }
        if let Some(requests) = self.concurrency {
            options = options.concurrency(requests);
        }
        if let Some(bytes) = self.max_entry_size {
            options = options.max_entry_size(bytes);
        }
        options
    }
}

/// The parameters of this cache.
const PARAMETERS: [&str; 6] = [
    "read_only",
    "leases",
    "backfill",
    "time_limit",
    "concurrency",
    "max_entry_size",
];

/// The one that is meant by a name that differs in case, a dash or an underscore, or an `s` at its end: `OpenDAL` passes over
/// what it does not know, and a storage would be written to that should only be read.
fn meant(name: &str) -> Option<&'static str> {
    let bare = |name: &str| {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        let bare: String = letters.map(|c| c.to_ascii_lowercase()).collect();
        bare.trim_end_matches('s').to_owned()
    };
    PARAMETERS
        .into_iter()
        .find(|parameter| bare(parameter) == bare(name))
}

/// `OpenDAL` passes over parameters that it does not know: with a misspelt `endpoint`, it would go to another storage.
fn refuse_unknown(uri: &OperatorUri) -> opendal::Result<()> {
    let has: fn(&str) -> bool = match uri.scheme() {
        #[cfg(feature = "azblob")]
        "azblob" => has::<opendal::services::AzblobConfig>,
        #[cfg(feature = "fs")]
        "fs" => has::<opendal::services::FsConfig>,
        #[cfg(feature = "gcs")]
        "gcs" => has::<opendal::services::GcsConfig>,
        #[cfg(feature = "http")]
        "http" | "https" => has::<opendal::services::HttpConfig>,
        #[cfg(feature = "memcached")]
        "memcached" => has::<opendal::services::MemcachedConfig>,
        #[cfg(feature = "redis")]
        "redis" | "rediss" => |_| false,
        #[cfg(feature = "s3")]
        "s3" => has::<opendal::services::S3Config>,
        // Of others it cannot be told, or they tell it.
        _ => |_| true,
    };
    match uri.options().keys().find(|name| !has(name)) {
        Some(name) => Err(invalid("the service has no such parameter", name)),
        None => Ok(()),
    }
}

/// Whether a parameter changes a configuration, or cannot have this value.
#[cfg(any(
    feature = "azblob",
    feature = "fs",
    feature = "gcs",
    feature = "http",
    feature = "memcached",
    feature = "s3"
))]
fn has<C: opendal::Configurator + PartialEq>(name: &str) -> bool {
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // Azure Blob has no configuration without one.
    let container = option("container", "-");
    let without = C::from_iter([container.clone()]);
    let with = C::from_iter([container, option(name, "true")]);
    with.map_or(true, |with| without.is_ok_and(|without| with != without))
}

fn invalid(reason: &'static str, parameter: &str) -> opendal::Error {
    opendal::Error::new(opendal::ErrorKind::ConfigInvalid, reason)
        .with_context("parameter", parameter)
}

/// The operator of a service of `OpenDAL`.
fn operator(uri: OperatorUri) -> opendal::Result<Operator> {
    let scheme = uri.scheme().to_owned();
    Operator::from_uri(uri).map_err(|error| {
        if error.kind() != opendal::ErrorKind::Unsupported {
            return error;
        }
        let reason =
            "this build has no such service: each is a Cargo feature of module-cache-remote";
        opendal::Error::new(opendal::ErrorKind::ConfigInvalid, reason)
            .with_context("service", scheme)
    })
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

    let client = redis::Client::open(info).map_err(invalid)?;
    let prefix = match prefix {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let operator = redis_service::operator(client.clone(), &endpoint, &prefix);
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
    fn a_uri_says_how_the_cache_uses_the_storage() {
        use crate::builder::LeaseChoice;

        let options = open(
            "memory:///a/b?read_only=true&leases=off&backfill=off&time_limit=2&concurrency=3&max_entry_size=4",
        )
        .unwrap();
        assert!(options.read_only && matches!(options.leases, LeaseChoice::Off));
        assert_eq!(options.backfill, None);
        assert_eq!(options.time_limit, Duration::from_secs(2));
        assert_eq!((options.concurrency, options.max_entry_size), (3, 4));
        for wrong in [
            "read_only=1",
            "leases=on",
            "backfill=on",
            "time_limit=0",
            "concurrency=0",
            "max_entry_size=1k",
            "readonly=true",
            "read-only=true",
            "lease=off",
        ] {
            let error = open(&format!("memory:///a?{wrong}")).unwrap_err();
            let (name, _) = wrong.split_once('=').unwrap();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(name), "{cause}");
        }
    }

    #[test]
    fn a_parameter_that_a_service_does_not_have_is_an_error() {
        for (built, known, unknown) in [
            (
                cfg!(feature = "s3"),
                "s3://bucket/x?region=r&endpoint_url=http://host&enable_virtual_host_style=true",
                "s3://bucket/x?region=r&endpont=http://host",
            ),
            (
                cfg!(feature = "gcs"),
                "gcs://bucket/x?endpoint=http://host&allow_anonymous=true",
                "gcs://bucket/x?endpont=http://host",
            ),
            (
                cfg!(feature = "azblob"),
                "azblob://container/x?endpoint=http://host&account_name=a",
                "azblob://container/x?endpont=http://host",
            ),
            (
                cfg!(feature = "http"),
                "https://host/x?token=a",
                "https://host/x?endpont=a",
            ),
            (
                cfg!(feature = "memcached"),
                "memcached://host:11211/x?username=a",
                "memcached://host:11211/x?endpont=a",
            ),
            (
                cfg!(feature = "fs"),
                "fs:///tmp?atomic_write_dir=/tmp",
                "fs:///tmp?endpont=a",
            ),
            (
                cfg!(feature = "redis"),
                "redis://host/0/x",
                "redis://host/0/x?endpont=a",
            ),
        ] {
            if built {
                drop(open(known).unwrap());
                let error = open(unknown).unwrap_err();
                let cause = std::error::Error::source(&error).unwrap().to_string();
                assert!(cause.contains("endpont"), "{cause}");
            }
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
