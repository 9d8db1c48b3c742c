//! A wasmtime module from remote storage: the hit as a whole beside a bare read of the same object, and what
//! is done with the object after that, each stage alone.
//!
//! The servers run on this machine and end with this program. So there is no network in it, which is the worst
//! case for what is compared: a real one adds the same to both.

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::compiled::{self, Compiled};
use module_cache_bench::{corpus, disk, effort};
use module_cache_core::{
    Engine, EntryKey, EntryStore, ModuleCache, SealedEntry, SigningKey, Trust,
};
use module_cache_remote::RemoteCache;
use module_cache_remote::opendal::Operator;
use module_cache_wasmtime::WasmtimeEngine;
use tokio::runtime::{Builder, Runtime};
use wasmtime::Module;

#[path = "../../module-cache-remote/src/codec.rs"]
#[cfg_attr(
    test,
    expect(unused_imports, reason = "its tests run where it belongs")
)]
mod codec;
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
    stages(criterion, &engine, &module);
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
    let object = format!("v1/{}", key(engine, module));
    Comparison::new(format!("remote hit: {}, {service}", module.name))
        .called("baseline: read the object", || {
            runtime.block_on(operator.read(&object)).unwrap()
        })
        .called("module-cache", || {
            cache.load(module.hash, engine).unwrap().unwrap()
        })
        .run(criterion);
}

/// What follows the read, in the order in which it is done. The engine's own part is the baseline.
fn stages(criterion: &mut Criterion, engine: &WasmtimeEngine, module: &Compiled) {
    let (key, trust) = (key(engine, module), trust());
    // SAFETY: the artifact comes from `serialize` on the engine whose id is in the key.
    let entry = unsafe { SealedEntry::from_artifact(key, module.artifact.as_slice()) };
    let stored = entry.to_compressed(&trust, codec::compress).unwrap();
    let sum = |stage: fn(&Opened) -> Duration| {
        let (stored, key, trust) = (&stored, &key, &trust);
        move |count: u64| {
            let opened = (0..count).map(|_| Opened::of(stored.clone(), key, trust));
            opened.map(|opened| stage(&opened)).sum()
        }
    };
    Comparison::new(format!("remote hit, after the read: {}", module.name))
        .called("baseline: deserialize", || {
            // SAFETY: the bytes are what `serialize` of this engine returned.
            unsafe { Module::deserialize(engine.engine(), &module.artifact) }.unwrap()
        })
        .measured("module-cache, verify the seal", sum(|opened| opened.verify))
        .measured("module-cache, decompress", sum(|opened| opened.decompress))
        .measured(
            "module-cache, compare the digest",
            sum(|opened| opened.digest),
        )
        .run(criterion);
}

/// How long the stages took of opening a stored entry.
struct Opened {
    verify: Duration,
    decompress: Duration,
    digest: Duration,
}

impl Opened {
    fn of(stored: Vec<u8>, key: &EntryKey, trust: &Trust) -> Self {
        let began = Instant::now();
        let (mut verified, mut decompressed) = (began, began);
        let entry = SealedEntry::open_compressed(stored, key, trust, |frames, len| {
            verified = Instant::now();
            let artifact = codec::decompress(frames, len);
            decompressed = Instant::now();
            artifact
        });
        let ended = Instant::now();
        entry.expect("what was compressed opens");
        Self {
            verify: verified - began,
            decompress: decompressed - verified,
            digest: ended - decompressed,
        }
    }
}

fn key(engine: &WasmtimeEngine, module: &Compiled) -> EntryKey {
    EntryKey::new(module.hash, *engine.id())
}

fn trust() -> Trust {
    Trust::signed(SigningKey::from_bytes([1; 32]))
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
