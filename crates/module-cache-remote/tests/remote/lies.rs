//! A server that lies about lengths: memory is bounded by what the entry's footer states.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::operators;
use crate::scene::{Scene, TIME_LIMIT, builder, key_of};
use module_cache_core::Trust;
use module_cache_remote::RemoteCache;
use module_cache_remote::opendal::{Operator, services};

const GIB: u64 = 1 << 30;
const CHILD: &str = "MODULE_CACHE_TEST_LIES";

/// How a server answers a request for a range.
#[derive(Clone, Copy)]
enum Lie {
    /// The end is right, and says 1 MiB. The rest is 1 GiB.
    LongRest,
    /// The same, with no length at all.
    EndlessRest,
    /// Whatever was asked for, here is 1 GiB.
    LongEnd,
    /// It is 1 GiB, though its footer says 1 MiB.
    LongObject,
}

#[test]
fn a_gibibyte_where_a_mebibyte_was_stated_is_a_miss_in_bounded_time_and_memory() {
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own: others would use memory meanwhile.
        let status = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "lies::a_gibibyte_where_a_mebibyte_was_stated_is_a_miss_in_bounded_time_and_memory",
            ])
            .env(CHILD, "")
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let (entry, scene) = entry();
    for lie in [
        Lie::LongRest,
        Lie::EndlessRest,
        Lie::LongEnd,
        Lie::LongObject,
    ] {
        let address = serve(lie, Arc::clone(&entry));
        let cache = builder(&operators::s3_at(address, "lies")).build();
        let before = peak_memory();
        let begun = Instant::now();
        assert!(!scene.loads(&cache));
        assert!(begun.elapsed() < TIME_LIMIT + Duration::from_secs(10));
        assert!(
            peak_memory() < before + (64 << 20),
            "{} bytes more were used",
            peak_memory() - before
        );
        let stats = cache.stats();
        assert_eq!(stats.misses, 1);
        assert_eq!(stats.errors + stats.corrupt, 1);
        assert_eq!(cache.remote_stats().bytes_fetched, 0);
    }
    assert_eq!(scene.engine.deserializes(), 0);
}

/// A whole entry of 1 MiB, as the cache stores it.
fn entry() -> (Arc<Vec<u8>>, Scene) {
    let operator = Operator::new(services::Memory::default()).unwrap();
    let scene = Scene::new(1, 1 << 20);
    scene.store(&builder(&operator).build());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let bytes = runtime.block_on(async { operator.read(&scene.path()).await.unwrap().to_vec() });
    (Arc::new(bytes), scene)
}

fn serve(lie: Lie, entry: Arc<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let entry = Arc::clone(&entry);
            // The client hangs up when it has seen enough.
            thread::spawn(move || answer(lie, &entry, &stream));
        }
    });
    address
}

fn answer(lie: Lie, entry: &[u8], mut stream: &TcpStream) -> std::io::Result<()> {
    let mut range = String::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            value.clone_into(&mut range);
        }
        if line.is_empty() {
            break;
        }
    }
    let total = match lie {
        Lie::LongObject => GIB,
        _ => entry.len() as u64,
    };
    let suffix = range
        .strip_prefix('-')
        .map(|len| len.parse::<usize>().unwrap());
    match (suffix, lie) {
        (Some(len), Lie::LongRest | Lie::EndlessRest | Lie::LongObject) => {
            let start = total - len as u64;
            let header = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {len}\r\nETag: \"1\"\r\n\
                 Content-Range: bytes {start}-{}/{total}\r\nConnection: close\r\n\r\n",
                total - 1
            );
            stream.write_all(header.as_bytes())?;
            stream.write_all(&entry[entry.len() - len..])
        }
        (None, Lie::EndlessRest) => {
            stream.write_all(
                b"HTTP/1.1 206 Partial Content\r\nETag: \"1\"\r\nConnection: close\r\n",
            )?;
            let range = format!("Content-Range: bytes 0-{}/{total}\r\n\r\n", total - 1);
            stream.write_all(range.as_bytes())?;
            zeros(stream)
        }
        _ => {
            let header = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\nETag: \"1\"\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(header.as_bytes())?;
            zeros(stream)
        }
    }
}

fn zeros(mut stream: &TcpStream) -> std::io::Result<()> {
    let piece = vec![0; 1 << 20];
    for _ in 0..1024 {
        stream.write_all(&piece)?;
    }
    Ok(())
}

/// The most memory that this process ever had, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes << 10
}

#[test]
fn a_server_that_does_not_know_ranges_is_an_error_that_says_so() {
    let (entry, scene) = entry();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let len = client.read(&mut request).unwrap_or(0);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                entry.len()
            );
            let _ = client.write_all(head.as_bytes());
            if request[..len].starts_with(b"GET ") {
                let _ = client.write_all(&entry);
            }
        }
    });
    let cache = RemoteCache::from_uri(&format!("http://{address}"), Trust::shared(key_of(1)));
    let cache = cache.unwrap().build();
    let error = cache.try_get(&scene.key()).unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("range requests"), "{cause}");
    assert_eq!(cache.remote_stats().outages, 1);
}

#[test]
fn of_an_endless_error_little_is_read() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 4096]);
            let head = "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n";
            let _ = client.write_all(head.as_bytes());
            let chunk = [b"10000\r\n", &vec![b'x'; 65536][..], b"\r\n"].concat();
            while client.write_all(&chunk).is_ok() {
                count.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    });
    let scene = Scene::new(1, 1000);
    for uri in [format!("http://{address}"), format!("oci://{address}/a/b")] {
        let cache = RemoteCache::from_uri(&uri, Trust::shared(key_of(1)));
        let cache = cache.unwrap().time_limit(TIME_LIMIT).build();
        let begun = Instant::now();
        let error = cache.try_get(&scene.key()).unwrap_err();
        assert!(begun.elapsed() < TIME_LIMIT, "{uri}");
        assert!(error.source().unwrap().to_string().len() < 5000, "{uri}");
    }
    assert!(sent.load(Ordering::SeqCst) < 64 << 20);
}
