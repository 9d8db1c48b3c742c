//! Leave to compile a key, exclusive among the processes that share the folder.
//!
//! The lock is `flock` on a file per key, which the system releases when its holder dies. Whoever does
//! not get it waits for a shared lock, so that all waiters go on at the same moment.

use std::fs::File;
use std::io;
use std::thread;
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use module_cache_core::{CompilePermit, EntryKey, ModuleHash};

use crate::directory::Directory;
use crate::heartbeat::{Heartbeat, Watch};
use crate::layout;

/// A holder that gave no sign of life for this long is waited for no more.
const PATIENCE: Duration = Duration::from_secs(10);

const SHORTEST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// How many silent holders of one key to step over before compiling without leave.
const GENERATIONS: u32 = 4;

/// Asks for leave, waiting while somebody else has it.
///
/// Behind a holder who fell silent the key has another lock: of those who waited, one compiles and the
/// rest wait for that one.
pub(crate) fn acquire(directory: &Directory, key: &EntryKey) -> io::Result<CompilePermit> {
    for generation in 0..GENERATIONS {
        match acquire_generation(directory, &layout::lock(key, generation))? {
            Attempt::Held(guard) => return Ok(CompilePermit::exclusive(guard)),
            Attempt::Released => return Ok(CompilePermit::Waited),
            Attempt::Unsupported => return Ok(CompilePermit::Uncoordinated),
            Attempt::Silent => {
                tracing::warn!(
                    hash = %key.module(),
                    engine = %key.engine(),
                    "the holder of a permit fell silent; going on without it"
                );
            }
        }
    }
    Ok(CompilePermit::Uncoordinated)
}

/// Whether somebody has leave to compile this key at the moment.
pub(crate) fn is_held(directory: &Directory, engine: &str, module: ModuleHash) -> bool {
    let Ok(file) = directory.open_file(&layout::lock_of(engine, module, 0)) else {
        return false;
    };
    match FileExt::try_lock_shared(&file) {
        Ok(()) => {
            unlock(&file);
            false
        }
        Err(error) => matches!(error, TryLockError::WouldBlock),
    }
}

enum Attempt {
    Held(Guard),
    Released,
    Silent,
    Unsupported,
}

fn acquire_generation(directory: &Directory, name: &str) -> io::Result<Attempt> {
    loop {
        let file = open(directory, name)?;
        match FileExt::try_lock(&file) {
            Ok(()) if is_current(directory, name, &file) => {
                return Ok(Attempt::Held(Guard::new(file)));
            }
            // Maintenance removed the file between opening and locking it; others lock a new one.
            Ok(()) => unlock(&file),
            Err(TryLockError::WouldBlock) => return wait(&file),
            Err(TryLockError::Error(error)) => return unsupported(error),
        }
    }
}

/// Waits until the holder is done or silent.
fn wait(file: &File) -> io::Result<Attempt> {
    let mut watch = Watch::new();
    let mut pause = SHORTEST_WAIT;
    loop {
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_WAIT);
        match FileExt::try_lock_shared(file) {
            Ok(()) => {
                unlock(file);
                return Ok(Attempt::Released);
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return unsupported(error),
        }
        if watch.silence(file) > PATIENCE {
            return Ok(Attempt::Silent);
        }
    }
}

fn open(directory: &Directory, name: &str) -> io::Result<File> {
    match directory.open_or_create(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            directory.create_directory(layout::LOCK_DIR)?;
            directory.open_or_create(name)
        }
        outcome => outcome,
    }
}

/// File systems without locks are used without permits; other failures are worth telling.
fn unsupported(error: io::Error) -> io::Result<Attempt> {
    match error.kind() {
        io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput => Ok(Attempt::Unsupported),
        _ => Err(error),
    }
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

/// Closing would release the lock too, but not while a forked child has the descriptor.
fn unlock(file: &File) {
    let _ = FileExt::unlock(file);
}

/// The lock, with its heartbeat. Fields drop in order: the pulse stops before the lock is given up.
#[derive(Debug)]
struct Guard {
    heartbeat: Option<Heartbeat>,
    file: File,
}

impl Guard {
    fn new(file: File) -> Self {
        let heartbeat = file.try_clone().ok().map(Heartbeat::start);
        Self { heartbeat, file }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.heartbeat = None;
        unlock(&self.file);
    }
}
