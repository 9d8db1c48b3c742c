//! A file that is being written: invisible to readers until it is published.

use std::fs::File;
use std::io;

use fs4::FileExt;

use crate::directory::Directory;
use crate::layout;

/// A new file below `tmp/`, locked by its writer. One whose lock can be taken has lost its writer. It is
/// removed when dropped, unless it was published.
#[derive(Debug)]
pub(crate) struct Temporary<'a> {
    directory: &'a Directory,
    name: Option<String>,
    file: File,
}

impl<'a> Temporary<'a> {
    pub(crate) fn create(directory: &'a Directory) -> io::Result<Self> {
        let name = layout::temporary();
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
        // Where there are no locks, nobody can take this for dead either.
        let _ = FileExt::try_lock(&temporary.file);
        Ok(temporary)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its final name, replacing what has it.
    pub(crate) fn publish(mut self, name: &str) -> io::Result<()> {
        if let Some(temporary) = &self.name {
            self.directory.rename(temporary, name)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && let Err(error) = self.directory.remove_file(name)
        {
            tracing::debug!(%error, name, "cannot remove a temporary file");
        }
    }
}
