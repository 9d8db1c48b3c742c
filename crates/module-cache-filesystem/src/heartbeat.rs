//! The sign of life of a process that holds a permit.
//!
//! A lock outlives neither its process nor its machine, but it does outlive reason: a stopped process
//! holds it for ever. So the holder touches the lock file every second, and a waiter that sees no change
//! for long goes on without. The waiter compares what it sees with its own monotonic clock, never two
//! clocks with each other.

use std::collections::HashMap;
use std::fs::File;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::directory::Directory;

const INTERVAL: Duration = Duration::from_secs(1);

/// Touches a file until it is dropped.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Heartbeat {
    /// Starts the pulse. If no thread can be started there is none, and waiters lose patience sooner.
    pub(crate) fn start(file: File) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let beat = move || {
            // The first beat tells this holder from one that died and left the file old.
            loop {
                let _ = file.set_modified(SystemTime::now());
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("module-cache-permit".into())
            .spawn(beat)
            .ok();
        Self {
            stop: Some(stop),
            thread,
            process: std::process::id(),
        }
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            if self.process == std::process::id() {
                let _ = thread.join();
            } else {
                // A forked child has no such thread.
                std::mem::forget(thread);
            }
        }
    }
}

/// When the file was last touched, as its file system says.
pub(crate) fn last_beat(file: &File) -> Option<i64> {
    let attributes = Directory::attributes_of_file(file).ok()?;
    Some(attributes.changed)
}

/// Watches another process's heartbeat.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Option<i64>,
    since: Instant,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            seen: None,
            since: Instant::now(),
        }
    }

    /// For how long the file has not changed, as far as this watch has seen.
    pub(crate) fn silence(&mut self, file: &File) -> Duration {
        let seen = last_beat(file);
        if seen != self.seen {
            *self = Self {
                seen,
                since: Instant::now(),
            };
        }
        self.since.elapsed()
    }
}

/// Holders that fell silent, by the name of their lock, with the last sign of life that was seen: they are not waited
/// for again.
#[derive(Debug, Default)]
pub(crate) struct Silent(Mutex<HashMap<String, Option<i64>>>);

impl Silent {
    pub(crate) fn has(&self, name: &str, lock: &File) -> bool {
        let seen = self.0.lock().get(name).copied();
        seen == Some(last_beat(lock))
    }

    pub(crate) fn note(&self, name: String, last_beat: Option<i64>) {
        self.0.lock().insert(name, last_beat);
    }

    pub(crate) fn forget(&self, name: &str) {
        self.0.lock().remove(name);
    }
}
