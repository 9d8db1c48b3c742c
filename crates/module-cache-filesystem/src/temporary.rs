//! A file that is being written: invisible to readers until it is published.
//!
//! Each is locked by its writer, from its creation on under the lock of the ledger. So one that is found unlocked under
//! that lock has lost its writer.

use std::fs::File;
use std::io;
use std::time::Duration;

use fs4::FileExt;

use crate::directory::{Directory, Kind, blocks};
use crate::ledger::LedgerGuard;

use crate::lock::{self, Attempt};
use crate::open_entry::SMALL;
use crate::{clock, interrupted, layout};

/// When a file on a file system without locks has no writer any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// A new file below `tmp/`. It is removed when dropped, unless it was published.
#[derive(Debug)]
pub(crate) struct Temporary<'a> {
    // Is closed before it is removed.
    file: File,
    name: Name<'a>,
}

/// A name that is removed when dropped.
#[derive(Debug)]
struct Name<'a> {
    directory: &'a Directory,
    name: Option<String>,
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
        let name = Some(name);
        let temporary = Self {
            file,
            name: Name { directory, name },
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

    /// Gives the file its final name in a directory, replacing what has it. What is there and cannot be replaced, because
    /// somebody maps it, is put aside.
    ///
    /// The file is closed first: readers would be refused it on systems where locks and open files keep others out.
    pub(crate) fn publish(
        self,
        directory: &Directory,
        name: &str,
        _: &LedgerGuard<'_>,
    ) -> io::Result<()> {
        let Self {
            file,
            name: mut temporary,
        } = self;
        drop(file);
        match temporary.rename(directory, name) {
            Err(error) if Directory::is_in_use(&error) => {
                put_aside(temporary.directory, directory, name).map_err(|_| error)?;
                temporary.rename(directory, name)
            }
            outcome => outcome,
        }
    }
}

impl Name<'_> {
    fn rename(&mut self, directory: &Directory, name: &str) -> io::Result<()> {
        if let Some(temporary) = &self.name {
            self.directory.rename(temporary, directory, name)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        if let Err(error) = self.directory.remove_file(name) {
            tracing::debug!(%error, name, "cannot remove a temporary file");
        }
    }
}

/// Moves a file of `folder` to `tmp/`, where it is counted like what is being written, until it can be removed.
pub(crate) fn put_aside(directory: &Directory, folder: &Directory, name: &str) -> io::Result<()> {
    directory.create_directory(layout::TEMPORARY_DIR)?;
    folder.rename(name, directory, &layout::temporary(0))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;
    use crate::storage::Storage;

    #[test]
    fn a_file_is_locked_while_it_is_written_and_not_when_it_has_its_name() {
        let keep = tempfile::tempdir().unwrap();
        let directory = Directory::open(keep.path()).unwrap();
        let ledger = Ledger::new(None, Storage::Local, None);
        let guard = ledger.lock(&directory).unwrap().unwrap();
        let temporary = Temporary::create(&directory, 1, &guard).unwrap();
        let name = temporary.name.name.clone().unwrap();
        let attempt = |name: &str| lock::exclusive(&directory.open_file(name).unwrap()).unwrap();
        assert_eq!(attempt(&name), Attempt::Held);
        temporary.publish(&directory, "entry", &guard).unwrap();
        assert_eq!(attempt("entry"), Attempt::Locked);
    }
}
