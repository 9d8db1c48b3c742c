//! The directory where there are no descriptors of directories: plain paths.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Attributes, Kind, Space};
use crate::storage::Storage;

#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::read_dir(path)?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    pub(crate) fn open_directory(&self, name: &str) -> io::Result<Self> {
        Self::open(&self.path.join(name))
    }

    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }

    pub(crate) fn create_new(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path.join(name))
    }

    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path.join(name))
    }

    pub(crate) fn create_directory(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.path.join(name))
    }

    pub(crate) fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), to.path.join(name))
    }

    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// A directory cannot be opened for that here.
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    /// Who may read is a matter of access lists here, which a directory takes from the one it is in.
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn let_others_read(&self) -> io::Result<()> {
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn make_private(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        fs::remove_dir(self.path.join(name))
    }

    pub(crate) fn attributes_of(&self, name: &str) -> io::Result<Attributes> {
        Ok(attributes(&fs::symlink_metadata(self.path.join(name))?))
    }

    pub(crate) fn attributes(&self) -> io::Result<Attributes> {
        Ok(attributes(&fs::metadata(&self.path)?))
    }

    pub(crate) fn attributes_of_file(file: &File) -> io::Result<Attributes> {
        Ok(attributes(&file.metadata()?))
    }

    pub(crate) fn is_writable(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.permissions().readonly())
    }

    pub(crate) fn space(&self) -> io::Result<Space> {
        Ok(Space {
            total: fs4::total_space(&self.path)?,
            free: fs4::free_space(&self.path)?,
            available: fs4::available_space(&self.path)?,
        })
    }

    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn storage(&self) -> Storage {
        Storage::Remote
    }

    pub(crate) fn mount(&self) -> Option<u64> {
        None
    }

    pub(crate) fn is_about_the_name(error: &io::Error) -> bool {
        use io::ErrorKind::{IsADirectory, NotADirectory, PermissionDenied};
        matches!(
            error.kind(),
            IsADirectory | NotADirectory | PermissionDenied
        )
    }

    pub(crate) fn is_out_of_descriptors(_: &io::Error) -> bool {
        false
    }

    /// A read-only attribute would keep the entry from ever being replaced or removed.
    #[expect(clippy::unnecessary_wraps, reason = "it can fail elsewhere")]
    pub(crate) fn seal_permissions(_: &File) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn attributes(metadata: &Metadata) -> Attributes {
    let kind = if metadata.is_file() {
        Kind::File
    } else if metadata.is_dir() {
        Kind::Directory
    } else {
        Kind::Other
    };
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|time| i64::try_from(time.as_nanos()).ok())
        .unwrap_or(0);
    Attributes {
        kind,
        size: metadata.len(),
        owner: 0,
        mode: 0,
        device: 0,
        inode: 0,
        changed: modified,
        modified,
    }
}
