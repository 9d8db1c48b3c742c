//! Real servers for tests, one of each kind for a test program: started when it is first needed, on a free
//! port of this machine, and stopped when the program ends, however it ends.
//!
//! The tests of the command use this file, too.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The bucket that the S3 server has.
pub(crate) const BUCKET: &str = "cache";

/// What all registries have in common; the rest is in their environment.
const REGISTRY_CONFIGURATION: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../module-cache-remote/tests/support/registry.yml"
);

/// How long a server may take to start, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where the Redis server listens.
pub(crate) fn redis_address() -> SocketAddr {
    static SERVER: LazyLock<Server> = LazyLock::new(|| {
        require(
            Command::new("redis-server").arg("--version"),
            "apt-get install redis-server",
        );
        Server::start(|port| {
            let mut command = Command::new("redis-server");
            command.args(["--bind", "127.0.0.1", "--save", "", "--port", port]);
            command
        })
    });
    SERVER.address
}

/// Where the S3 server listens.
pub(crate) fn s3_address() -> SocketAddr {
    static SERVER: LazyLock<Server> = LazyLock::new(|| {
        let moto = |args: &[&str]| {
            let mut command = Command::new("python3");
            command.env("PYTHONPATH", python_packages()).args(args);
            command
        };
        require(
            &mut moto(&["-c", "import moto.server"]),
            "cargo xtask servers",
        );
        let server =
            Server::start(|port| moto(&["-m", "moto.server", "-H", "127.0.0.1", "-p", port]));
        make_bucket(server.address);
        server
    });
    SERVER.address
}

/// Where the OCI registry listens, which keeps everything in memory.
pub(crate) fn registry_address() -> SocketAddr {
    static SERVER: LazyLock<Server> = LazyLock::new(|| {
        Server::start(|port| registry(port, &[("STORAGE_INMEMORY", "{}".as_ref())]))
    });
    SERVER.address
}

/// An OCI registry with these settings.
pub(crate) fn registry(port: &str, settings: &[(&str, &OsStr)]) -> Command {
    require(
        Command::new("docker-registry").arg("--version"),
        "apt-get install docker-registry",
    );
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(REGISTRY_CONFIGURATION);
    command.env("REGISTRY_HTTP_ADDR", format!("127.0.0.1:{port}"));
    for (name, value) in settings {
        command.env(format!("REGISTRY_{name}"), value);
    }
    command
}

/// An address where nobody listens.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .unwrap()
}

/// A prefix that no other test has.
pub(crate) fn prefix() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// While its standard input is open the server runs.
    _keep: Child,
}

impl Server {
    /// Starts what `command` makes of a port.
    fn start(command: impl FnOnce(&str) -> Command) -> Self {
        Self::start_at(free_address(), command)
    }

    /// The same at an address. It is stopped when this is dropped.
    pub(crate) fn start_at(address: SocketAddr, command: impl FnOnce(&str) -> Command) -> Self {
        let command = command(&address.port().to_string());
        // The system closes the input when this process ends, and `cat` ends with it.
        let script = r#""$@" </dev/null >/dev/null 2>&1 & trap "kill $!" EXIT; cat"#;
        let keep = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{command:?} does not listen after {PATIENCE:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        Self {
            address,
            _keep: keep,
        }
    }
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
