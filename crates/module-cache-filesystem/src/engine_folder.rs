//! The folder of an engine: opened once, without following a link, and examined, before anything in it is looked at.

use std::io;
use std::sync::Arc;

use module_cache_core::EngineId;
use parking_lot::RwLock;

use crate::directory::Directory;
use crate::open_entry::{Refusal, refusal_of};
use crate::{layout, trust_check};

/// How many are kept open. A program has one engine, or a few.
const KEPT: usize = 8;

/// Opens the folder `name` of an engine, if it is one that nobody else controls.
///
/// # Errors
///
/// The outer error is one of the system; the inner one, of this folder alone.
pub(crate) fn open(
    version: &Directory,
    name: &str,
    owner_check: Option<u32>,
) -> io::Result<Result<Directory, Refusal>> {
    let folder = match version.open_directory(name) {
        Ok(folder) => folder,
        Err(error) => return refusal_of(error).map(Err),
    };
    let attributes = folder.attributes()?;
    Ok(
        match owner_check.and_then(|user| trust_check::objection(&attributes, user)) {
            Some(reason) => Err(Refusal::Unusable(format!("in its folder: {reason}"))),
            None => Ok(folder),
        },
    )
}

/// The folders that loads found.
#[derive(Debug, Default)]
pub(crate) struct EngineFolders(RwLock<Vec<(EngineId, Arc<Directory>)>>);

impl EngineFolders {
    /// The folder as it was opened earlier.
    pub(crate) fn known(&self, engine: &EngineId) -> Option<Arc<Directory>> {
        let kept = self.0.read();
        let (_, folder) = kept.iter().find(|(id, _)| id == engine)?;
        Some(Arc::clone(folder))
    }

    /// Keeps a folder, in the place of what was known of this engine.
    pub(crate) fn keep(&self, engine: &EngineId, folder: Directory) -> Arc<Directory> {
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

/// Whether `folder` still is what the name of this engine stands for: another process may have removed it when it was
/// empty, and made a new one.
pub(crate) fn is_current(version: &Directory, engine: &EngineId, folder: &Directory) -> bool {
    match (
        version.attributes_of(&layout::engine_dir(engine)),
        folder.attributes(),
    ) {
        (Ok(named), Ok(open)) => (named.device, named.inode) == (open.device, open.inode),
        _ => false,
    }
}
