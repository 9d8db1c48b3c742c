//! Operators on the real servers of tests.

use std::net::SocketAddr;

use module_cache_remote::opendal::{Operator, services};

use crate::servers::{BUCKET, prefix, redis_address, s3_address};

/// The URI of a place of its own on a Redis server.
pub(crate) fn redis() -> String {
    format!("redis://{}/0/{}", redis_address(), prefix())
}

/// An operator on an S3 server, with a prefix of its own.
pub(crate) fn s3() -> Operator {
    s3_at(s3_address(), &prefix())
}

/// An operator on an S3 server that is reached at `address`.
pub(crate) fn s3_at(address: SocketAddr, prefix: &str) -> Operator {
    operator(service_at(address, prefix))
}

/// An operator on an S3 server, and how what it writes is read over plain HTTP.
#[allow(dead_code, reason = "one of the test programs uses it")]
pub(crate) fn s3_and_http() -> (Operator, String) {
    let (address, prefix) = (s3_address(), prefix());
    let service = service_at(address, &prefix).default_acl("public-read");
    (
        operator(service),
        format!("http://{address}/{BUCKET}/{prefix}"),
    )
}

fn operator(service: services::S3) -> Operator {
    module_cache_remote::opendal::install_default();
    Operator::new(service).unwrap()
}

fn service_at(address: SocketAddr, prefix: &str) -> services::S3 {
    services::S3::default()
        .endpoint(&format!("http://{address}"))
        .bucket(BUCKET)
        .root(prefix)
        .region("us-east-1")
        .access_key_id("test")
        .secret_access_key("test")
        .disable_config_load()
        .disable_ec2_metadata()
}
