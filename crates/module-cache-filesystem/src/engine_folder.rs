//! The folder of an engine: opened once, without following a link, and examined, before anything in it is looked at.

use std::fs::File;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use module_cache_core::EngineId;
use parking_lot::RwLock;

use crate::directory::{Attributes, Directory};
use crate::open_entry::{Refusal, refusal_of};
use crate::storage::{self, Storage};
use crate::trust_check;

/// How many are kept open. A program has one engine, or a few.
const KEPT: usize = 8;

/// More changes than a clock ticks in [`TICK`], which is the shortest that Linux can be built with.
const CHANGES: u32 = 3;
const TICK: Duration = Duration::from_millis(1);

/// The folder of an engine, open.
#[derive(Debug)]
pub(crate) struct EngineFolder {
    pub(crate) directory: Directory,
    pub(crate) storage: Storage,
    /// Of the file system that is mounted here, which may be another than the one around it.
    pub(crate) session: Option<u64>,
    /// Whether times of change here tell any two changes apart, once that was found out.
    fine_times: OnceLock<bool>,
    name: String,
    attributes: Attributes,
}

/// Opens the folder `name` of an engine, if it is one that nobody else controls.
///
/// # Errors
///
/// The outer error is one of the system; the inner one, of this folder alone.
pub(crate) fn open(
    version: &Directory,
    name: &str,
    owner_check: Option<u32>,
) -> io::Result<Result<(Directory, Attributes), Refusal>> {
    let directory = match version.open_directory(name) {
        Ok(directory) => directory,
        Err(error) => return refusal_of(error).map(Err),
    };
    let attributes = directory.attributes()?;
    let objection = owner_check.and_then(|user| trust_check::objection(&attributes, user));
    Ok(match objection {
        Some(reason) => Err(Refusal::Unusable(format!("in its folder: {reason}"))),
        None => Ok((directory, attributes)),
    })
}

impl EngineFolder {
    /// A folder that was opened, and will be used more than once.
    pub(crate) fn new(name: String, directory: Directory, attributes: Attributes) -> Self {
        Self {
            storage: directory.storage(),
            session: storage::session(directory.mount()),
            directory,
            fine_times: OnceLock::new(),
            name,
            attributes,
        }
    }

    /// Whether a change that comes at once behind another shows in the time of change, as it does where the system gives
    /// times of their own to changes that somebody asked about (Linux 6.13 and later, on most local file systems); and not
    /// where there is one time for each tick of its clock. `file` is one of this folder, new and nobody's yet.
    pub(crate) fn has_fine_times(&self, file: &File) -> io::Result<bool> {
        if let Some(fine) = self.fine_times.get() {
            return Ok(*fine);
        }
        let began = Instant::now();
        let mut last = Directory::attributes_of_file(file)?.changed;
        for _ in 0..CHANGES {
            Directory::seal_permissions(file)?;
            let changed = Directory::attributes_of_file(file)?.changed;
            if changed <= last {
                return Ok(*self.fine_times.get_or_init(|| false));
            }
            last = changed;
        }
        // In more time, the clock could have ticked as often.
        Ok(began.elapsed() < TICK && *self.fine_times.get_or_init(|| true))
    }

    /// Whether this is a file of the file system that the folder is on, and none that is mounted in it. The files of an
    /// overlay have the devices of its layers; there, what was written here is known by its stamp.
    pub(crate) fn holds(&self, file: &Attributes) -> bool {
        self.storage == Storage::Layered || file.device == self.attributes.device
    }

    /// Whether its name still stands for it: another process may have removed it when it was empty, and made a new one.
    pub(crate) fn is_current(&self, version: &Directory) -> bool {
        let named = version.attributes_of(&self.name);
        named.is_ok_and(|named| {
            (named.device, named.inode) == (self.attributes.device, self.attributes.inode)
        })
    }
}

/// The folders that loads found.
#[derive(Debug, Default)]
pub(crate) struct EngineFolders(RwLock<Vec<(EngineId, Arc<EngineFolder>)>>);

impl EngineFolders {
    /// The folder as it was opened earlier.
    pub(crate) fn known(&self, engine: &EngineId) -> Option<Arc<EngineFolder>> {
        let kept = self.0.read();
        let (_, folder) = kept.iter().find(|(id, _)| id == engine)?;
        Some(Arc::clone(folder))
    }

    /// Keeps a folder, in the place of what was known of this engine.
    pub(crate) fn keep(&self, engine: &EngineId, folder: EngineFolder) -> Arc<EngineFolder> {
        let folder = Arc::new(folder);
        let mut kept = self.0.write();
        kept.retain(|(id, _)| id != engine);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((*engine, Arc::clone(&folder)));
        folder
    }
}
