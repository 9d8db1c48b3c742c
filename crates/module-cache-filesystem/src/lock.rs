//! `flock`, as everything here uses it: without waiting in the kernel, repeated when a signal interrupts it.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fs4::FileExt;

use crate::interrupted;

/// What became of an attempt to lock a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    Locked,
    /// By somebody else.
    Held,
    /// The file system has no locks.
    Unsupported,
}

/// Locks the file against everybody.
pub(crate) fn exclusive(file: &File) -> io::Result<Attempt> {
    attempt(|| FileExt::try_lock(file).map_err(io::Error::from))
}

/// Locks the file against those who want it for themselves.
pub(crate) fn shared(file: &File) -> io::Result<Attempt> {
    attempt(|| FileExt::try_lock_shared(file).map_err(io::Error::from))
}

/// Gives up the lock. Closing would do that too, but not while a forked child has the descriptor.
pub(crate) fn unlock(file: &File) {
    let _ = interrupted::again(|| FileExt::unlock(file));
}

/// Locks the file against everybody, trying until the deadline.
pub(crate) fn exclusive_until(file: &File, deadline: Instant) -> io::Result<Attempt> {
    let mut pause = Duration::from_micros(50);
    loop {
        let attempt = exclusive(file)?;
        if attempt != Attempt::Held || Instant::now() >= deadline {
            return Ok(attempt);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

fn attempt(lock: impl Fn() -> io::Result<()>) -> io::Result<Attempt> {
    match interrupted::again(lock) {
        Ok(()) => Ok(Attempt::Locked),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Attempt::Held),
            io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => Ok(Attempt::Unsupported),
            _ => Err(error),
        },
    }
}
