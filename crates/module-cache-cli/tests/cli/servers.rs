//! URIs of storages on real servers, each with a prefix that no other test has.

#[path = "../../../module-cache-remote/tests/support/servers.rs"]
mod started;

use std::net::SocketAddr;

use started::{BUCKET, prefix, redis_address, registry_address, s3_address};

pub(crate) use started::free_address;

/// A storage on the Redis server.
pub(crate) fn redis() -> String {
    format!("redis://{}/0/{}", redis_address(), prefix())
}

/// A repository on the OCI registry.
pub(crate) fn oci() -> String {
    format!("oci://{}/modules/{}", registry_address(), prefix())
}

/// A storage on the S3 server.
pub(crate) fn s3() -> String {
    s3_at(s3_address())
}

/// A storage on the S3 server, and how it is read over plain HTTP.
pub(crate) fn s3_and_http() -> (String, String) {
    let s3 = format!("{}&default_acl=public-read", s3());
    let (place, _) = s3.split_once('?').unwrap();
    let http = place.replacen("s3://", &format!("http://{}/", s3_address()), 1);
    (s3, http)
}

/// The same on a server that is reached at `address`.
pub(crate) fn s3_at(address: SocketAddr) -> String {
    format!(
        "s3://{BUCKET}/{}?region=us-east-1&endpoint=http://{address}",
        prefix()
    )
}
