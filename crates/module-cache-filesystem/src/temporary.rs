//! A file that is being written: invisible to readers until it is published.
//!
//! Each is locked by its writer, from its creation on under the lock of the ledger. So one that is found unlocked under
//! that lock has lost its writer.

use std::fs::File;
use std::io;
use std::time::Duration;

use fs4::FileExt;

use crate::directory::{Directory, Kind};
use crate::ledger::{LedgerGuard, blocks};
use crate::lock::{self, Attempt};
use crate::open_entry::SMALL;
use crate::{clock, interrupted, layout};

/// When a file on a file system without locks has no writer any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// A new file below `tmp/`. It is removed when dropped, unless it was published.
#[derive(Debug)]
pub(crate) struct Temporary<'a> {
    directory: &'a Directory,
    name: Option<String>,
    file: File,
}

impl<'a> Temporary<'a> {
    /// A file that will have so many bytes.
    pub(crate) fn create(
        directory: &'a Directory,
        len: u64,
        _: &LedgerGuard<'_>,
    ) -> io::Result<Self> {
        let name = layout::temporary(len);
        let file = match directory.create_new(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                directory.create_directory(layout::TEMPORARY_DIR)?;
                directory.create_new(&name)?
            }
            outcome => outcome?,
        };
        let temporary = Self {
            directory,
            name: Some(name),
            file,
        };
        if lock::exclusive(&temporary.file)? == Attempt::Held {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        Ok(temporary)
    }

    /// Takes the space on the disk. For what is small, writing it tells as soon.
    pub(crate) fn allocate(&self, len: u64) -> io::Result<()> {
        if len <= SMALL {
            return Ok(());
        }
        match interrupted::again(|| FileExt::allocate(&self.file, len)) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            outcome => outcome,
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name in a directory, replacing what has it.
    pub(crate) fn publish(mut self, directory: &Directory, name: &str) -> io::Result<()> {
        if let Some(temporary) = &self.name {
            self.directory.rename(temporary, directory, name)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            if let Err(error) = self.directory.remove_file(name) {
                tracing::debug!(%error, name, "cannot remove a temporary file");
            }
        }
    }
}

/// What is in `tmp/`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Survey {
    /// The bytes that are being written, in whole blocks.
    pub(crate) live: u64,
    /// Files of dead writers. They are removed.
    pub(crate) dead: u64,
}

/// Looks at what is being written, and removes what lost its writer.
///
/// # Errors
///
/// When a file can neither be looked at nor removed: then it is not known what is there.
pub(crate) fn clear(directory: &Directory, _: &LedgerGuard<'_>) -> io::Result<Survey> {
    let mut survey = Survey::default();
    let temporaries = match directory.open_directory(layout::TEMPORARY_DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(survey),
        temporaries => temporaries?,
    };
    for name in temporaries.names()? {
        if !layout::is_temporary(&name) {
            continue;
        }
        let attributes = match temporaries.attributes_of(&name) {
            // Published, or given up.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            attributes => attributes?,
        };
        if attributes.kind != Kind::File {
            continue;
        }
        let locked = temporaries
            .open_file(&name)
            .and_then(|file| Ok((lock::exclusive(&file)?, file)));
        let dead = match &locked {
            Ok((Attempt::Locked, _)) => true,
            Ok((Attempt::Held, _)) => false,
            Ok((Attempt::Unsupported, _)) | Err(_) => {
                let modified = clock::from_nanoseconds(attributes.modified);
                clock::now().saturating_sub(modified) > ABANDONED
            }
        };
        if dead && temporaries.remove_file(&name).is_ok() {
            survey.dead += 1;
        } else {
            let len = attributes.size.max(layout::temporary_len(&name));
            survey.live = survey.live.saturating_add(blocks(len));
        }
    }
    Ok(survey)
}
