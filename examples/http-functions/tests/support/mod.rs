//! What the tests and the measurement share: functions to serve, a server for them, and a client.

#![allow(
    dead_code,
    reason = "each program that includes this uses a part of it"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use http_functions::{Functions, router};
use metrics_exporter_prometheus::PrometheusBuilder;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

/// How many functions [`write_functions`] makes.
pub(crate) const FUNCTIONS: u32 = 64;

/// Writes functions into a folder, of equal size: number `n` answers with the request and [`mark`] of `n`.
pub(crate) fn write_functions(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for number in 0..FUNCTIONS {
        let text = format!(
            r#"(module
                (memory (export "memory") 1)
                (func (export "handle") (param $len i32) (result i32)
                    (i32.store8 (local.get $len) (i32.const {}))
                    (i32.add (local.get $len) (i32.const 1))))"#,
            u32::from(mark(number))
        );
        fs::write(folder.join(format!("f{number}.wat")), text).unwrap();
    }
}

/// The character that a function is told by.
pub(crate) fn mark(number: u32) -> char {
    char::from_u32(u32::from('0') + number).unwrap()
}

/// Opens the functions in `functions` below a folder, and the cache beside them.
pub(crate) fn open(folder: &Path, memory: u64) -> Functions {
    let (functions, cache) = (folder.join("functions"), folder.join("cache"));
    Functions::open(&functions, &cache, memory, Handle::current()).unwrap()
}

/// Serves them on a port of its own, as long as the runtime lives.
pub(crate) async fn serve(functions: Arc<Functions>) -> SocketAddr {
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    serve_router(router(functions, metrics)).await
}

pub(crate) async fn serve_router(router: Router) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

/// Waits for something that is done after an answer was given, such as saving.
pub(crate) async fn until(mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < Duration::from_mins(1), "waited in vain");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A temporary folder with these functions in it, by name and text.
pub(crate) fn folder_of(functions: &[(&str, &str)]) -> TempDir {
    let keep = tempfile::tempdir().unwrap();
    let folder = keep.path().join("functions");
    fs::create_dir(&folder).unwrap();
    for (name, text) in functions {
        fs::write(folder.join(format!("{name}.wat")), text).unwrap();
    }
    keep
}

/// A connection that is kept open.
pub(crate) struct Client(BufStream<TcpStream>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufStream::new(stream))
    }

    /// Sends a GET and returns the status and the body.
    pub(crate) async fn get(&mut self, path: &str) -> (u16, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
            .await
    }

    /// Sends a POST, likewise.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> (u16, String) {
        let len = body.len();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len}\r\n\r\n{body}"
        ))
        .await
    }

    async fn send(&mut self, request: &str) -> (u16, String) {
        self.0.write_all(request.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
        let status = self.line().await;
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let mut body_len = 0;
        loop {
            let line = self.line().await;
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                body_len = value.parse().unwrap();
            }
        }
        let mut body = vec![0; body_len];
        self.0.read_exact(&mut body).await.unwrap();
        (status, String::from_utf8(body).unwrap())
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let len = self.0.read_line(&mut line).await.unwrap();
        assert!(len > 0, "the server closed the connection");
        line.trim_end().to_owned()
    }
}
