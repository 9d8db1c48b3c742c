//! What tests of OCI registries need beside a cache: plain requests, a registry on disk, and one that says what it is told to.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use module_cache_core::ModuleHash;
use serde_json::Value;

use crate::servers::{self, Server};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A repository, asked without the cache.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) address: SocketAddr,
    pub(crate) name: String,
}

impl Repository {
    /// One of its own on the registry in memory.
    pub(crate) fn new() -> Self {
        Self::at(servers::registry_address())
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let name = format!("modules/{}", servers::prefix());
        Self { address, name }
    }

    pub(crate) fn uri(&self) -> String {
        format!("oci://{}/{}", self.address, self.name)
    }

    pub(crate) fn manifest(&self, tag: &str) -> String {
        let (status, body) = self.ask("GET", &format!("manifests/{tag}"), "");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The same as what it says.
    pub(crate) fn parsed(&self, tag: &str) -> Value {
        serde_json::from_str(&self.manifest(tag)).unwrap()
    }

    pub(crate) fn tag(&self, tag: &str, manifest: &str) {
        let (status, body) = self.ask("PUT", &format!("manifests/{tag}"), manifest);
        assert_eq!(status, 201, "{body}");
    }

    fn ask(&self, method: &str, place: &str, body: &str) -> (u16, String) {
        let Self { address, name } = self;
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "{method} /v2/{name}/{place} HTTP/1.0\r\nHost: {address}\r\nAccept: {MANIFEST}\r\n\
             Content-Type: {MANIFEST}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

/// The tag of an entry, as the format says.
pub(crate) fn tag_of(path: &str) -> String {
    let (folder, module) = path.rsplit_once('/').unwrap();
    let folder = ModuleHash::of(folder.as_bytes()).to_string();
    format!("{module}-{}", &folder[..32])
}

/// A registry of its own with its files in a temporary folder.
pub(crate) struct OnDisk {
    folder: tempfile::TempDir,
    pub(crate) repository: Repository,
    server: Option<Server>,
}

impl OnDisk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::at(servers::free_address());
        let mut registry = Self {
            folder,
            repository,
            server: None,
        };
        registry.start();
        registry
    }

    pub(crate) fn start(&mut self) {
        let storage = (
            "STORAGE_FILESYSTEM_ROOTDIRECTORY",
            self.folder.path().as_os_str(),
        );
        let command = |port: &str| servers::registry(port, &[storage]);
        self.server = Some(Server::start_at(self.repository.address, command));
    }

    pub(crate) fn stop(&mut self) {
        self.server = None;
        crate::scene::eventually("the registry is gone", || {
            TcpStream::connect(self.repository.address).is_err()
        });
    }

    /// The file with a blob.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self.folder.path().join("docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Changes a byte of a blob, where it is so many bytes long.
    pub(crate) fn flip(&self, digest: &str, at: impl FnOnce(usize) -> usize) {
        let file = self.blob(digest);
        let mut content = fs::read(&file).unwrap();
        let at = at(content.len());
        content[at] ^= 1;
        fs::write(file, content).unwrap();
    }
}

/// A request as a registry sees it: method and place, and the value of each header by its name.
pub(crate) struct Asked {
    pub(crate) line: String,
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of == name);
        found.map_or("", |(_, value)| value)
    }
}

/// A registry that answers what it is told to, and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) fn new(
        answer: impl Fn(SocketAddr, &Asked) -> (String, Vec<u8>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let scripted = Self {
            address,
            asked: Arc::default(),
        };
        let (shared, answer) = (scripted.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (scripted, answer) = (shared.clone(), Arc::clone(&answer));
                // The client hangs up when it has seen enough.
                thread::spawn(move || {
                    let asked = read_request(&stream)?;
                    scripted.asked.lock().unwrap().push(asked.line.clone());
                    let (head, body) = answer(address, &asked);
                    let head = format!(
                        "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                        body.len()
                    );
                    (&stream).write_all(head.as_bytes()).ok()?;
                    (&stream).write_all(&body).ok()
                });
            }
        });
        scripted
    }

    pub(crate) fn uri(&self) -> String {
        format!("oci://{}/team/modules", self.address)
    }

    /// How many requests there were with this in their first line.
    pub(crate) fn count(&self, what: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|line| line.contains(what)).count()
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let line = lines.next()?;
    let headers = lines.take_while(|line| !line.is_empty());
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    });
    Some(Asked {
        line,
        headers: headers.collect(),
    })
}
