//! A permit to compile a module, exclusive among the processes that share the folder.
//!
//! The lock is `flock` on a file per key, which the system releases when its holder dies. Those who do not get it
//! wait for a shared lock, so that all of them go on at the same moment.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use module_cache_core::permit::{CompilePermit, PermitOutcome};
use module_cache_core::{EntryKey, ModuleHash};

use crate::directory::Directory;
use crate::folder::Folder;
use crate::heartbeat::{self, Heartbeat, Watch};
use crate::{layout, lock};

/// A holder that gave no sign of life for this long is waited for no more.
const PATIENCE: Duration = Duration::from_secs(10);

const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// How many silent holders of one key to step over before compiling without a permit.
const GENERATIONS: u32 = 4;

/// Asks for the permit, without waiting for another holder.
///
/// Behind a holder that fell silent the key has another lock: of those who waited, one compiles and the rest wait for
/// that one.
pub(crate) fn ask(folder: &Arc<Folder>, key: &EntryKey) -> io::Result<CompilePermit> {
    for generation in 0..GENERATIONS {
        let name = layout::lock(key, generation);
        match attempt(&folder.directory, &name)? {
            Attempt::Acquired(guard) => {
                folder.silent.forget(&name);
                return Ok(CompilePermit::exclusive(guard));
            }
            Attempt::Held(lock) if folder.silent.has(&name, &lock) => {}
            Attempt::Held(lock) => {
                let (folder, key) = (Arc::clone(folder), *key);
                return Ok(CompilePermit::held(move |_| {
                    outlast(&folder, &key, name, &lock);
                    PermitOutcome::Unknown
                }));
            }
            Attempt::Unsupported => break,
        }
    }
    Ok(CompilePermit::Uncoordinated)
}

/// Waits for the holder of `lock`, and takes note if it falls silent.
fn outlast(folder: &Folder, key: &EntryKey, name: String, lock: &File) {
    let last_beat = match wait(lock) {
        Ok(Ended::Released) => return,
        Ok(Ended::Silent(last_beat)) => {
            tracing::warn!(
                hash = %key.hash(),
                engine = %key.engine(),
                "the holder of a permit does not respond; going on without it"
            );
            last_beat
        }
        Err(error) => {
            tracing::debug!(hash = %key.hash(), %error, "cannot wait for a permit; going on without it");
            heartbeat::last_beat(lock)
        }
    };
    folder.silent.note(name, last_beat);
}

/// Whether somebody has the permit of this key at the moment.
pub(crate) fn is_held(directory: &Directory, engine: &str, module: ModuleHash) -> bool {
    let Ok(file) = directory.open_file(&layout::lock_of(engine, module, 0)) else {
        return false;
    };
    match lock::shared(&file) {
        Ok(lock::Attempt::Locked) => {
            lock::unlock(&file);
            false
        }
        attempt => attempt.is_ok_and(|attempt| attempt == lock::Attempt::Held),
    }
}

enum Attempt {
    Acquired(Guard),
    /// By somebody else, whose lock this file has.
    Held(File),
    Unsupported,
}

fn attempt(directory: &Directory, name: &str) -> io::Result<Attempt> {
    loop {
        let file = open(directory, name)?;
        match lock::exclusive(&file)? {
            lock::Attempt::Locked if is_current(directory, name, &file) => {
                return Ok(Attempt::Acquired(Guard::new(file)));
            }
            // Maintenance removed the file between opening and locking it; others lock a new one.
            lock::Attempt::Locked => lock::unlock(&file),
            lock::Attempt::Held => return Ok(Attempt::Held(file)),
            lock::Attempt::Unsupported => return Ok(Attempt::Unsupported),
        }
    }
}

/// How a wait for a holder ended.
enum Ended {
    Released,
    /// Since this sign of life.
    Silent(Option<i64>),
}

/// Waits until the holder is done or silent.
fn wait(file: &File) -> io::Result<Ended> {
    let mut watch = Watch::new();
    let mut pause = SHORTEST_WAIT;
    loop {
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_WAIT);
        if lock::shared(file)? != lock::Attempt::Held {
            lock::unlock(file);
            return Ok(Ended::Released);
        }
        if watch.silence(file) > PATIENCE {
            return Ok(Ended::Silent(heartbeat::last_beat(file)));
        }
    }
}

fn open(directory: &Directory, name: &str) -> io::Result<File> {
    let file = match directory.open_or_create(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            directory.create_directory(layout::LOCK_DIR)?;
            directory.open_or_create(name)?
        }
        outcome => outcome?,
    };
    // Who could open it could lock it.
    if Directory::attributes_of_file(&file)?.mode & 0o077 != 0 {
        Directory::make_private(&file)?;
    }
    Ok(file)
}

/// Whether `name` still is the file that was locked.
fn is_current(directory: &Directory, name: &str, file: &File) -> bool {
    match (
        directory.attributes_of(name),
        Directory::attributes_of_file(file),
    ) {
        (Ok(named), Ok(open)) => (named.device, named.inode) == (open.device, open.inode),
        _ => false,
    }
}

/// The lock, with its heartbeat. Fields drop in order: the pulse stops before the lock is given up.
#[derive(Debug)]
struct Guard {
    heartbeat: Option<Heartbeat>,
    file: File,
    process: u32,
}

impl Guard {
    fn new(file: File) -> Self {
        let heartbeat = file.try_clone().ok().map(Heartbeat::start);
        Self {
            heartbeat,
            file,
            process: std::process::id(),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.heartbeat = None;
        // A forked child has a copy of this, and the lock is its parent's.
        if self.process == std::process::id() {
            lock::unlock(&self.file);
        }
    }
}
