//! A wasmtime module from remote storage, into memory and through a folder, beside what it is made of: a bare read of the
//! same object, decompressing it, and loading it from a folder.
//!
//! The servers run on this machine and end with this program. So there is no network in it, which is the worst
//! case for what is compared: a real one adds the same to both. One row has a link of 100 MB/s.

use std::cell::RefCell;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use module_cache_bench::comparison::{self, Comparison};
use module_cache_bench::compiled::{self, Compiled};
use module_cache_bench::{corpus, disk, effort, generated};
use module_cache_core::format::FRAME_LEN;
use module_cache_core::{Engine, EntryKey, EntryStore, ModuleCache, SharedKey, Trust};
use module_cache_fallback::FallbackExt;
use module_cache_filesystem::FileSystemCache;
use module_cache_memory::in_memory;
use module_cache_remote::RemoteCache;
use module_cache_remote::opendal::Operator;
use module_cache_wasmtime::WasmtimeEngine;
use proxy::{Fault, Proxy};
use tokio::runtime::{Builder, Runtime};

#[path = "../../module-cache-remote/tests/support/servers.rs"]
#[expect(dead_code, reason = "tests alone need an OCI registry")]
mod servers;

#[allow(dead_code, reason = "the tests use all of its faults, this one")]
#[path = "../../module-cache-remote/tests/remote/proxy.rs"]
mod proxy;

/// Bytes a second of the link that has a limit.
const LINK: u64 = 100_000_000;

/// The size of a generated wasm whose compiled code is 100 MB.
const LARGE: usize = 50_000_000;

fn remote_hit(criterion: &mut Criterion) {
    let engine = compiled::engine();
    let folder = disk::scratch_folder();
    let link = Proxy::before(servers::redis_address());
    link.set(Some(Fault::Paced(LINK)));
    for module in modules(&engine) {
        for (service, uri) in [
            ("a folder", format!("fs://{}", folder.path().display())),
            ("Redis", redis(servers::redis_address())),
            ("Redis over 100 MB/s", redis(link.address)),
            ("S3 (moto)", s3()),
        ] {
            whole(criterion, &engine, &module, service, &uri);
        }
    }
}

fn modules(engine: &WasmtimeEngine) -> Vec<Compiled> {
    if effort::is_quick() {
        return vec![compiled::compile(
            engine,
            "sqlite".to_owned(),
            corpus::wasm("sqlite"),
        )];
    }
    let esbuild = compiled::compile(engine, "esbuild".to_owned(), corpus::wasm("esbuild"));
    let large = compiled::compile(engine, "100 MB".to_owned(), generated::program(LARGE));
    vec![esbuild, large]
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
    let scratch = disk::scratch_folder();
    let folder = FileSystemCache::open(scratch.path().join("cache")).unwrap();
    let kept = FileSystemCache::open(scratch.path().join("kept")).unwrap();
    let saved = kept.save(module.hash, engine, &module.module);
    assert!(saved.unwrap().is_stored());
    let memory = in_memory();
    let layers = memory
        .clone()
        .with_fallback(folder.clone().with_fallback(cache.clone()));

    let key = EntryKey::new(module.hash, *engine.id());
    let read = reader(uri, format!("v1/{}/{key}", signing_key().id()));
    let frames: Vec<_> = module
        .artifact
        .chunks(FRAME_LEN)
        .map(|frame| zstd::bulk::compress(frame, 3).unwrap())
        .collect();
    Comparison::new(format!("remote hit: {}, {service}", module.name))
        .called("baseline: read the object", read)
        .called("decompress it, on all cores", || decompress(&frames))
        .called("module-cache, from a folder", || {
            kept.load(module.hash, engine).unwrap().unwrap()
        })
        .called("module-cache, into memory", || {
            cache.load(module.hash, engine).unwrap().unwrap()
        })
        .called_then(
            "module-cache, through memory and a folder",
            || layers.load(module.hash, engine).unwrap().unwrap(),
            |module_of_file| {
                drop(module_of_file);
                assert!(memory.remove(module.hash, engine).unwrap());
                assert!(ModuleCache::remove(&folder, module.hash, engine).unwrap());
            },
        )
        .run(criterion);
}

/// Reads an object as a program would that has nothing but a client of the storage.
fn reader(uri: &str, object: String) -> Box<dyn Fn()> {
    if let Some((server, prefix)) = uri
        .strip_prefix("redis://")
        .and_then(|uri| uri.split_once("/0/"))
    {
        let client = redis::Client::open(format!("redis://{server}")).unwrap();
        let connection = RefCell::new(client.get_connection().unwrap());
        let get = redis::Cmd::get(format!("{prefix}/{object}"));
        return Box::new(move || {
            black_box::<Vec<u8>>(get.query(&mut *connection.borrow_mut()).unwrap());
        });
    }
    let (runtime, operator) = (runtime(), Operator::from_uri(uri).unwrap());
    Box::new(move || {
        black_box(runtime.block_on(operator.read(&object)).unwrap());
    })
}

fn decompress(frames: &[Vec<u8>]) {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut content = vec![0; FRAME_LEN];
                while let Some(frame) = frames.get(next.fetch_add(1, Ordering::Relaxed)) {
                    zstd::bulk::decompress_to_buffer(frame, &mut content).unwrap();
                }
            });
        }
    });
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

fn redis(address: SocketAddr) -> String {
    format!("redis://{address}/0/{}", servers::prefix())
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
