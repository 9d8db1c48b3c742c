//! Real servers for tests, one of each kind for a test program: started when it is first needed, on a free
//! port of this machine, and stopped when the program ends, however it ends.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_remote::opendal::{Operator, services};

/// The bucket that the S3 server has.
const BUCKET: &str = "cache";

/// How long a server may take to start, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// An operator on a Redis server, with a prefix of its own, and the URI of the same.
pub(crate) fn redis() -> (Operator, String) {
    let (endpoint, prefix) = (format!("redis://{}", redis_address()), prefix());
    let service = services::Redis::default().endpoint(&endpoint).root(&prefix);
    let operator = Operator::new(service).unwrap();
    (operator, format!("{endpoint}/0/{prefix}"))
}

/// Where the Redis server listens.
pub(crate) fn redis_address() -> SocketAddr {
    static SERVER: LazyLock<Server> = LazyLock::new(|| {
        require(
            Command::new("redis-server").arg("--version"),
            "apt-get install redis-server",
        );
        Server::start(|port| {
            let mut command = vec!["redis-server".to_owned(), "--port".to_owned(), port];
            command.extend(["--bind", "127.0.0.1", "--save", ""].map(str::to_owned));
            command
        })
    });
    SERVER.address
}

/// An operator on an S3 server, with a prefix of its own.
pub(crate) fn s3() -> Operator {
    s3_at(s3_address(), &prefix())
}

/// An operator on an S3 server that is reached at `address`.
pub(crate) fn s3_at(address: SocketAddr, prefix: &str) -> Operator {
    let service = services::S3::default()
        .endpoint(&format!("http://{address}"))
        .bucket(BUCKET)
        .root(prefix)
        .region("us-east-1")
        .access_key_id("test")
        .secret_access_key("test")
        .disable_config_load()
        .disable_ec2_metadata();
    module_cache_remote::opendal::install_default();
    Operator::new(service).unwrap()
}

/// Where the S3 server listens.
pub(crate) fn s3_address() -> SocketAddr {
    static SERVER: LazyLock<Server> = LazyLock::new(|| {
        let packages = python_packages();
        require(
            Command::new("python3")
                .args(["-c", "import moto.server"])
                .env("PYTHONPATH", &packages),
            "cargo xtask servers",
        );
        let packages = packages.to_str().unwrap().to_owned();
        let server = Server::start(|port| {
            let mut command = vec!["env".to_owned(), format!("PYTHONPATH={packages}")];
            command.extend(
                ["python3", "-m", "moto.server", "-H", "127.0.0.1", "-p"].map(str::to_owned),
            );
            command.push(port);
            command
        });
        make_bucket(server.address);
        server
    });
    SERVER.address
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}

struct Server {
    address: SocketAddr,
    /// While its standard input is open the server runs.
    _keep: Child,
}

impl Server {
    fn start(command: impl FnOnce(String) -> Vec<String>) -> Self {
        let address = free_address();
        let command = command(address.port().to_string());
        // The system closes the input when this process ends, and `cat` ends with it.
        let script = r#""$@" </dev/null >/dev/null 2>&1 & trap "kill $!" EXIT; cat"#;
        let keep = Command::new("sh")
            .args(["-c", script, "sh"])
            .args(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < PATIENCE,
                "`{}` does not listen after {PATIENCE:?}",
                command.join(" ")
            );
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            address,
            _keep: keep,
        }
    }
}

/// An address where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap()
}

/// Where `cargo xtask servers` puts the S3 server.
fn python_packages() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    target.join("servers/python")
}

fn require(command: &mut Command, install: &str) {
    let works = command
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(
        works,
        "`{}` does not work here; run `{install}` first",
        command.get_program().display()
    );
}

fn make_bucket(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("PUT /{BUCKET} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "no bucket was made: {answer}");
}
