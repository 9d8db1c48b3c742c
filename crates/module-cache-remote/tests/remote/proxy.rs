//! A network that fails: a TCP proxy in front of a server, which passes everything on until it is told
//! otherwise.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What becomes of what a client sends, or of what the server answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Connections are closed at once.
    Closed,
    /// Nothing is ever answered.
    BlackHole,
    /// Of each answer so many bytes come through, then the connection is closed.
    Cut(usize),
    /// Answers come later.
    Delayed(Duration),
    /// Uploads are answered with 403.
    ReadOnly,
    /// Answers come with so many bytes a second, all connections together.
    Paced(u64),
    /// What is written to a place whose name has this in it is answered with that.
    Refused(&'static str, &'static [u8]),
    /// Every request is answered with this.
    Answer(&'static [u8]),
}

/// A read that takes less did not wait for the server: an answer to a new request takes longer.
const AT_ONCE: Duration = Duration::from_micros(30);

/// An answer to whoever has no right.
pub(crate) const FORBIDDEN: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// The proxy. Its threads end with the process.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    server: SocketAddr,
    fault: Mutex<Option<Fault>>,
    link_is_free_at: Mutex<Option<Instant>>,
    requests: AtomicU64,
    answered_bytes: AtomicU64,
}

impl Proxy {
    pub(crate) fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            server,
            fault: Mutex::default(),
            link_is_free_at: Mutex::default(),
            requests: AtomicU64::new(0),
            answered_bytes: AtomicU64::new(0),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || state.serve(&client));
            }
        });
        Self { address, state }
    }

    /// From now on, also on connections that are open.
    pub(crate) fn set(&self, fault: Option<Fault>) {
        *self.state.fault.lock().unwrap() = fault;
    }

    /// How often a client sent something.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// What came through from the server.
    pub(crate) fn answered_bytes(&self) -> u64 {
        self.state.answered_bytes.load(Ordering::SeqCst)
    }
}

impl State {
    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap()
    }

    fn serve(self: Arc<Self>, client: &TcpStream) {
        let server = TcpStream::connect(self.server).unwrap();
        let (from_server, to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let state = Arc::clone(&self);
        let answers = thread::spawn(move || state.pass_answers(&from_server, &to_client));
        let _ = self.pass_requests(client, &server);
        let _ = server.shutdown(Shutdown::Both);
        let _ = answers.join();
        let _ = client.shutdown(Shutdown::Both);
    }

    fn pass_requests(&self, mut client: &TcpStream, mut server: &TcpStream) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        let mut is_lost = false;
        loop {
            // Of what did not come through, nothing behind it does.
            if is_lost && !matches!(self.fault(), Some(Fault::BlackHole))
                || matches!(self.fault(), Some(Fault::Closed))
            {
                return Ok(());
            }
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.requests.fetch_add(1, Ordering::SeqCst);
            match self.fault() {
                Some(Fault::Closed) => return Ok(()),
                Some(Fault::BlackHole) => is_lost = true,
                _ if is_lost => return Ok(()),
                Some(Fault::Answer(answer)) => return client.write_all(answer),
                Some(Fault::ReadOnly) if buffer.starts_with(b"PUT ") => {
                    return client.write_all(FORBIDDEN);
                }
                Some(Fault::Refused(place, answer)) if is_write_to(&buffer[..count], place) => {
                    return client.write_all(answer);
                }
                _ => server.write_all(&buffer[..count])?,
            }
        }
    }

    fn pass_answers(&self, mut server: &TcpStream, mut client: &TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        let mut asked_at = Instant::now();
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            let was_there = asked_at.elapsed() < AT_ONCE;
            let (mut passed, mut last) = (count, false);
            match self.fault() {
                Some(Fault::Cut(at)) => (passed, last) = (at.min(count), true),
                Some(Fault::Delayed(delay)) => thread::sleep(delay),
                Some(Fault::Paced(rate)) => {
                    let passed_at = self.take_link(count, rate, was_there);
                    thread::sleep(passed_at.saturating_duration_since(Instant::now()));
                }
                _ => {}
            }
            self.answered_bytes
                .fetch_add(passed as u64, Ordering::SeqCst);
            if client.write_all(&buffer[..passed]).is_err() || last {
                break;
            }
            asked_at = Instant::now();
        }
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Puts `count` bytes onto the link after all that is on it already, and returns when they are through. Bytes that
    /// waited for the link were on it from when it was free: a thread that wakes too late makes no link slower.
    fn take_link(&self, count: usize, rate: u64, waited: bool) -> Instant {
        let mut is_free_at = self.link_is_free_at.lock().unwrap();
        let begins_at = match *is_free_at {
            Some(at) if waited => at,
            free_at => free_at.map_or_else(Instant::now, |at| at.max(Instant::now())),
        };
        let through_at = begins_at + Duration::from_nanos(count as u64 * 1_000_000_000 / rate);
        *is_free_at = Some(through_at);
        through_at
    }
}

/// Whether this is the beginning of a request of S3 or Redis that writes there.
fn is_write_to(request: &[u8], place: &str) -> bool {
    let text = String::from_utf8_lossy(&request[..request.len().min(300)]);
    let is_write = text.starts_with("PUT ") || text.contains("\r\nSET\r\n");
    is_write && text.contains(place)
}
