//! The directory on Unix: system calls relative to a descriptor, repeated when a signal interrupts them.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::{Attributes, Kind, Space};
use crate::platform;
use crate::storage::Storage;

const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory by its path.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Opens a directory in this one, if it is one and no link to one.
    pub(crate) fn open_directory(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self
            .open_at(name, flags, Mode::empty())
            // What some systems say of a link here.
            .map_err(|error| {
                if error == Errno::LOOP {
                    Errno::NOTDIR
                } else {
                    error
                }
            })?;
        Ok(Self {
            fd,
            path: self.path.join(name),
        })
    }

    /// Opens whatever `name` is for reading, without following a link in the end and without waiting for
    /// the other end of a pipe.
    pub(crate) fn open_file(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        Ok(self.open_at(name, flags, Mode::empty())?.into())
    }

    /// The same for an entry, which on other systems nobody can write to as long as it is open.
    pub(crate) fn open_entry(&self, name: &str) -> io::Result<File> {
        self.open_file(name)
    }

    /// Creates a file that was not there, for writing.
    pub(crate) fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(self.open_at(name, flags, PRIVATE_FILE)?.into())
    }

    /// Opens a private file for reading and writing, creating it if necessary.
    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        Ok(self.open_at(name, flags, PRIVATE_FILE)?.into())
    }

    fn open_at(&self, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        retry_on_intr(|| rustix::fs::openat(&self.fd, name, flags, mode))
    }

    /// Creates a directory for this user alone; one that is there already is fine.
    pub(crate) fn create_directory(&self, name: &str) -> io::Result<()> {
        match retry_on_intr(|| rustix::fs::mkdirat(&self.fd, name, Mode::RWXU)) {
            Err(Errno::EXIST) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// Moves a file to a name in another directory, replacing what is there in one step.
    pub(crate) fn rename(&self, from: &str, to: &Self, name: &str) -> io::Result<()> {
        Ok(retry_on_intr(|| {
            rustix::fs::renameat(&self.fd, from, &to.fd, name)
        })?)
    }

    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(retry_on_intr(|| {
            rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
        })?)
    }

    /// Sees to it that what was created, moved and removed here is on disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fsync(&self.fd))?)
    }

    /// Lets everybody list this directory and open what is in it.
    pub(crate) fn let_others_read(&self) -> io::Result<()> {
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        Ok(retry_on_intr(|| rustix::fs::fchmod(&self.fd, mode))?)
    }

    /// Takes from others what rights they have to a file of this user's.
    pub(crate) fn make_private(file: &File) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::fchmod(file, PRIVATE_FILE))?)
    }

    /// The names in this directory, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = self.open_at(".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::new(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Removes a directory, if it is empty.
    pub(crate) fn remove_directory(&self, name: &str) -> io::Result<()> {
        Ok(retry_on_intr(|| {
            rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)
        })?)
    }

    /// Attributes of what `name` is, without following a link in the end.
    pub(crate) fn attributes_of(&self, name: &str) -> io::Result<Attributes> {
        let stat = retry_on_intr(|| rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW))?;
        Ok(attributes(&stat))
    }

    /// Attributes of the directory itself.
    pub(crate) fn attributes(&self) -> io::Result<Attributes> {
        Ok(attributes(&retry_on_intr(|| rustix::fs::fstat(&self.fd))?))
    }

    /// Attributes of an open file.
    pub(crate) fn attributes_of_file(file: &File) -> io::Result<Attributes> {
        Ok(attributes(&retry_on_intr(|| rustix::fs::fstat(file))?))
    }

    /// Whether this process may create files here.
    pub(crate) fn is_writable(&self) -> bool {
        retry_on_intr(|| rustix::fs::accessat(&self.fd, ".", Access::WRITE_OK, AtFlags::EACCESS))
            .is_ok()
    }

    /// The room on the file system that this is on.
    pub(crate) fn space(&self) -> io::Result<Space> {
        let stat = retry_on_intr(|| rustix::fs::fstatvfs(&self.fd))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space {
            total: bytes(stat.f_blocks),
            free: bytes(stat.f_bfree),
            available: bytes(stat.f_bavail),
        })
    }

    /// Brings the whole file system to the disk. Some free the space of what was removed only then, as Btrfs does.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        retry_on_intr(|| rustix::fs::syncfs(&self.fd))?;
        Ok(())
    }

    /// What is known of where files here come from.
    pub(crate) fn storage(&self) -> Storage {
        platform::storage(&self.fd)
    }

    /// Tells the mount that this directory is on from every other since the machine started; `None` where the system does
    /// not tell.
    pub(crate) fn mount(&self) -> Option<u64> {
        platform::mount(&self.fd)
    }

    /// Whether an error of [`open_file`](Self::open_file) is owed to what the name stands for (a link, a
    /// socket, somebody else's file), and other names will do.
    pub(crate) fn is_about_the_name(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(
                Errno::LOOP
                    | Errno::IO
                    | Errno::BADMSG
                    | Errno::NXIO
                    | Errno::ISDIR
                    | Errno::NOTDIR
                    | Errno::ACCESS
                    | Errno::PERM
            )
        )
    }

    /// Whether a file was not removed or replaced because somebody has it open or mapped, as can be on other systems.
    pub(crate) fn is_in_use(_: &io::Error) -> bool {
        false
    }

    /// Whether this process, or the system, has no descriptors left.
    pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
        matches!(
            Errno::from_io_error(error),
            Some(Errno::MFILE | Errno::NFILE)
        )
    }

    /// Makes a written file readable, and writable for nobody.
    pub(crate) fn seal_permissions(file: &File) -> io::Result<()> {
        let mode = Mode::RUSR | Mode::RGRP | Mode::ROTH;
        Ok(retry_on_intr(|| rustix::fs::fchmod(file, mode))?)
    }

    /// For messages; never for access.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

fn attributes(stat: &Stat) -> Attributes {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        _ => Kind::Other,
    };
    #[expect(
        clippy::unnecessary_cast,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        clippy::useless_conversion,
        reason = "the widths and signs of these fields differ between systems; identities keep all bits"
    )]
    Attributes {
        kind,
        size: stat.st_size as u64,
        owner: stat.st_uid,
        mode: u32::from(stat.st_mode) & 0o7777,
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        changed: (stat.st_ctime as i64)
            .saturating_mul(1_000_000_000)
            .saturating_add(stat.st_ctime_nsec as i64),
        modified: (stat.st_mtime as i64)
            .saturating_mul(1_000_000_000)
            .saturating_add(stat.st_mtime_nsec as i64),
        usn: 0,
    }
}
