//! The server as a program, with the functions that come with it.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use support::{Client, until};

/// A running server, killed when it is dropped.
struct Server {
    child: Child,
    address: std::net::SocketAddr,
}

impl Server {
    fn start(cache: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_http-functions"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/functions"))
            .arg(cache)
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://");
        let address = address.expect(&line).parse().unwrap();
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn the_samples_are_compiled_once_then_resident_then_stored_and_metrics_say_so() {
    let keep = tempfile::tempdir().unwrap();
    let cache = keep.path().join("cache");
    for (first, saved) in [("compiled", 4), ("stored", 0)] {
        let server = Server::start(&cache);
        let mut client = Client::connect(server.address).await;
        assert_eq!(client.get("/upper?Hello").await, (200, "HELLO".to_owned()));
        assert_eq!(client.get("/reverse?abc").await, (200, "cba".to_owned()));
        let loaded =
            format!("module_cache_loads_total{{loader=\"functions-best\",source=\"{first}\"}} 2");
        shows(
            &mut client,
            &[
                &loaded,
                &format!("module_cache_saves_total{{cache=\"filesystem\"}} {saved}"),
                "module_cache_backend_errors_total{cache=\"filesystem\"} 0",
            ],
        )
        .await;

        for _ in 0..5 {
            assert_eq!(client.get("/upper?again").await, (200, "AGAIN".to_owned()));
        }
        shows(
            &mut client,
            &[
                &loaded,
                "module_cache_loads_total{loader=\"functions-best\",source=\"resident\"} 5",
            ],
        )
        .await;
    }
}

/// Waits until `/metrics` has these lines.
async fn shows(client: &mut Client, lines: &[&str]) {
    until(async || {
        let (status, page) = client.get("/metrics").await;
        assert_eq!(status, 200);
        let missing = lines
            .iter()
            .find(|line| !page.lines().any(|found| found == **line));
        if let Some(line) = missing {
            println!("no line {line} in:\n{page}");
        }
        missing.is_none()
    })
    .await;
}
