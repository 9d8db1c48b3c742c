//! The cache keeps the contract of a cache and of a store, on real servers and on what is at hand.

#[path = "support/operators.rs"]
mod operators;
#[path = "support/servers.rs"]
mod servers;

use module_cache_core::{SharedKey, Trust};
use module_cache_remote::opendal::{Operator, services};
use module_cache_remote::{RemoteCache, RemoteCacheBuilder};
use module_cache_testkit::{
    Capabilities, Fixture, entry_store_conformance, module_cache_conformance,
};

fn fixture(
    permits: bool,
    options: impl Fn() -> RemoteCacheBuilder + 'static,
) -> Fixture<RemoteCache> {
    let capabilities = Capabilities {
        permits,
        ..Capabilities::STORED
    };
    Fixture::new(options().build(), capabilities).reopened_by(move || options().build())
}

fn signed() -> Trust {
    Trust::shared(SharedKey::from_bytes([5; 32]))
}

fn unauthenticated() -> Trust {
    // SAFETY: nothing of a test engine is executed.
    unsafe { Trust::unauthenticated() }
}

fn memory() -> Fixture<RemoteCache> {
    let operator = Operator::new(services::Memory::default()).unwrap();
    fixture(false, move || {
        RemoteCache::builder(operator.clone(), unauthenticated()).without_leases()
    })
}

fn directory() -> Fixture<RemoteCache> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let uri = format!("fs://{root}?atomic_write_dir={root}");
    fixture(false, move || {
        RemoteCache::from_uri(&uri, signed()).unwrap()
    })
    .keeping(folder)
}

fn redis() -> Fixture<RemoteCache> {
    let uri = operators::redis();
    fixture(true, move || RemoteCache::from_uri(&uri, signed()).unwrap())
}

fn oci() -> Fixture<RemoteCache> {
    let uri = format!(
        "oci://{}/modules/{}",
        servers::registry_address(),
        servers::prefix()
    );
    fixture(false, move || {
        RemoteCache::from_uri(&uri, signed()).unwrap()
    })
}

fn s3() -> Fixture<RemoteCache> {
    let operator = operators::s3();
    fixture(true, move || {
        RemoteCache::builder(operator.clone(), signed())
    })
}

module_cache_conformance!(cache_in_memory, memory);
module_cache_conformance!(cache_in_a_directory, directory);
module_cache_conformance!(cache_on_a_registry, oci);
module_cache_conformance!(cache_on_redis, redis);
module_cache_conformance!(cache_on_s3, s3);
entry_store_conformance!(store_in_memory, memory);
entry_store_conformance!(store_in_a_directory, directory);
entry_store_conformance!(store_on_a_registry, oci);
entry_store_conformance!(store_on_redis, redis);
entry_store_conformance!(store_on_s3, s3);
