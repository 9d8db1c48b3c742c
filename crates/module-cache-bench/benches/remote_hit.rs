//! A wasmtime module from remote storage: the hit as a whole beside a bare read of the same object, each way.
//!
//! The servers run on this machine and end with this program. So there is no network in it, which is the worst
//! case for what is compared: a real one adds the same to both.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::compiled::{self, Compiled};
use module_cache_bench::{corpus, disk, effort};
use module_cache_core::{Engine, EntryKey, EntryStore, ModuleCache, SharedKey, Trust};
use module_cache_remote::RemoteCache;
use module_cache_remote::opendal::Operator;
use module_cache_wasmtime::WasmtimeEngine;
use tokio::runtime::{Builder, Runtime};

#[path = "../../module-cache-remote/tests/support/servers.rs"]
mod servers;

fn remote_hit(criterion: &mut Criterion) {
    let engine = compiled::engine();
    let name = effort::choose("sqlite", "esbuild");
    let module = compiled::compile(&engine, name.to_owned(), corpus::wasm(name));
    let folder = disk::scratch_folder();
    for (service, uri) in [
        ("a folder", format!("fs://{}", folder.path().display())),
        ("Redis", redis()),
        ("S3 (moto)", s3()),
    ] {
        whole(criterion, &engine, &module, service, &uri);
    }
}

/// From asking the storage to a module that can be instantiated.
fn whole(
    criterion: &mut Criterion,
    engine: &WasmtimeEngine,
    module: &Compiled,
    service: &str,
    uri: &str,
) {
    let cache = RemoteCache::from_uri(uri, trust()).unwrap();
    let cache = cache.time_limit(Duration::from_mins(1)).build();
    let saved = cache.save(module.hash, engine, &module.module);
    assert!(saved.unwrap().is_stored());
    cache.sync().unwrap();

    let runtime = runtime();
    let operator = Operator::from_uri(uri).unwrap();
    let key = EntryKey::new(module.hash, *engine.id());
    let object = format!("v1/{}/{key}", signing_key().id());
    Comparison::new(format!("remote hit: {}, {service}", module.name))
        .called("baseline: read the object", || {
            runtime.block_on(operator.read(&object)).unwrap()
        })
        .called("module-cache", || {
            cache.load(module.hash, engine).unwrap().unwrap()
        })
        .run(criterion);
}

fn signing_key() -> SharedKey {
    SharedKey::from_bytes([1; 32])
}

fn trust() -> Trust {
    Trust::shared(signing_key())
}

fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of one thread")
}

fn redis() -> String {
    format!(
        "redis://{}/0/{}",
        servers::redis_address(),
        servers::prefix()
    )
}

/// moto asks for credentials, and takes any.
fn s3() -> String {
    format!(
        "s3://{}/{}?region=us-east-1&endpoint=http://{}&access_key_id=test&secret_access_key=test",
        servers::BUCKET,
        servers::prefix(),
        servers::s3_address()
    )
}

criterion_group! {
    name = benches;
    config = comparison::criterion();
    targets = remote_hit
}
criterion_main!(benches);
