//! A web server for one folder on this machine, and for what its page has to say.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// The longest results that a page may send.
const MAX_RESULTS: u64 = 64 * 1024;

/// Answers requests from the moment it is started until the program ends.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    folder: PathBuf,
    /// What the page sent to `/results`.
    results: Mutex<Option<String>>,
    arrived: Condvar,
}

impl Server {
    /// Serves the files of `folder`, and none below it, on a free port.
    ///
    /// Two paths are no files: what is posted to `/results` is kept, and `/finished` is not answered before.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let server = Self {
            address: listener.local_addr()?,
            state: Arc::new(State {
                folder: folder.to_owned(),
                results: Mutex::new(None),
                arrived: Condvar::new(),
            }),
        };
        let state = Arc::clone(&server.state);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                // A browser that goes away is no concern of the server's.
                thread::spawn(move || drop(state.answer(connection)));
            }
        });
        Ok(server)
    }

    /// The results; `None` when they have not come in time.
    pub(super) fn results_within(&self, limit: Duration) -> Option<String> {
        let results = self.state.results.lock();
        let results = results.unwrap_or_else(PoisonError::into_inner);
        let (results, _) = self
            .state
            .arrived
            .wait_timeout_while(results, limit, |results| results.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        results.clone()
    }
}

impl State {
    fn answer(&self, connection: TcpStream) -> io::Result<()> {
        let mut request = BufReader::new(connection);
        let mut first = String::new();
        request.read_line(&mut first)?;
        let len = content_length(&mut request)?;
        let mut words = first.split_whitespace();
        match (words.next(), words.next()) {
            (Some("POST"), Some("/results")) => {
                let mut results = String::new();
                request
                    .by_ref()
                    .take(len.min(MAX_RESULTS))
                    .read_to_string(&mut results)?;
                *self.results.lock().unwrap_or_else(PoisonError::into_inner) = Some(results);
                self.arrived.notify_all();
                respond(request.get_mut(), "204 No Content", "text/plain", b"")
            }
            (Some("GET"), Some("/finished")) => {
                let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
                drop(
                    self.arrived
                        .wait_while(results, |results| results.is_none()),
                );
                respond(request.get_mut(), "204 No Content", "text/plain", b"")
            }
            (Some("GET"), Some(path)) => {
                let name = match path.trim_start_matches('/') {
                    "" => "index.html",
                    name => name,
                };
                match self.file(name) {
                    Some(body) => respond(request.get_mut(), "200 OK", mime_type(name), &body),
                    None => respond(request.get_mut(), "404 Not Found", "text/plain", b""),
                }
            }
            _ => respond(request.get_mut(), "400 Bad Request", "text/plain", b""),
        }
    }

    /// A file of the folder. Only a plain name can name one.
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let plain = !name.starts_with('.') && !name.contains(['/', '\\']);
        plain.then(|| fs::read(self.folder.join(name)).ok())?
    }
}

/// Reads to the end of the headers.
fn content_length(request: &mut impl BufRead) -> io::Result<u64> {
    let mut len = 0;
    loop {
        let mut line = String::new();
        if request.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            return Ok(len);
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            len = value.trim().parse().unwrap_or(0);
        }
    }
}

fn respond(to: &mut TcpStream, status: &str, mime_type: &str, body: &[u8]) -> io::Result<()> {
    // Isolated from other origins, a page may read a clock of microseconds.
    write!(
        to,
        "HTTP/1.1 {status}\r\nContent-Type: {mime_type}\r\nContent-Length: {}\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Embedder-Policy: require-corp\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    to.write_all(body)
}

fn mime_type(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|end| end.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        // Compilation of a stream demands it.
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(server: &Server, request: &str) -> String {
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn it_serves_the_files_of_its_folder_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        fs::create_dir(&served).unwrap();
        fs::write(folder.path().join("secret"), "secret").unwrap();
        fs::write(served.join("index.html"), "the page").unwrap();
        fs::write(served.join("a.wasm"), "wasm").unwrap();
        let server = Server::start(&served).unwrap();

        let page = ask(&server, "GET / HTTP/1.1\r\n\r\n");
        assert!(
            page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"),
            "{page}"
        );
        assert!(page.ends_with("\r\n\r\nthe page"), "{page}");
        let wasm = ask(&server, "GET /a.wasm HTTP/1.1\r\n\r\n");
        assert!(
            wasm.contains("Content-Type: application/wasm\r\n"),
            "{wasm}"
        );
        for path in ["/missing", "/../secret", "//secret", "/."] {
            let answer = ask(&server, &format!("GET {path} HTTP/1.1\r\n\r\n"));
            assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        }
        assert!(ask(&server, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    }

    #[test]
    fn results_arrive_and_end_the_wait() {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path()).unwrap();
        assert_eq!(server.results_within(Duration::from_millis(1)), None);
        thread::scope(|scope| {
            let waiting = scope.spawn(|| ask(&server, "GET /finished HTTP/1.1\r\n\r\n"));
            ask(
                &server,
                "POST /results HTTP/1.1\r\ncontent-length: 5\r\n\r\nthese",
            );
            assert!(waiting.join().unwrap().starts_with("HTTP/1.1 204"));
        });
        let results = server.results_within(Duration::from_secs(20));
        assert_eq!(results.as_deref(), Some("these"));
    }
}
