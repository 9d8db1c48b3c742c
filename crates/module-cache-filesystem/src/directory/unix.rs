//! The directory on Unix: system calls relative to a descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags, Stat};

use super::{Attributes, Kind};

#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

impl Directory {
    /// Opens a directory by its path.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::open(path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Opens a directory in this one, if it is one and no link to one.
    pub(crate) fn open_directory(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
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
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::empty())?.into())
    }

    /// Creates a file that was not there, for writing.
    pub(crate) fn create_new(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Opens a private file for reading and writing, creating it if necessary.
    pub(crate) fn open_or_create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        Ok(rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Creates a directory for this user alone; one that is there already is fine.
    pub(crate) fn create_directory(&self, name: &str) -> io::Result<()> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::RWXU) {
            Err(rustix::io::Errno::EXIST) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// Moves a file to another name below this directory, replacing what is there in one step.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
    }

    /// The names in a directory below this one, in no order.
    pub(crate) fn names(&self, name: &str) -> io::Result<Vec<String>> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
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
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    /// Attributes of what `name` is, without following a link in the end.
    pub(crate) fn attributes_of(&self, name: &str) -> io::Result<Attributes> {
        Ok(attributes(&rustix::fs::statat(
            &self.fd,
            name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?))
    }

    /// Attributes of the directory itself.
    pub(crate) fn attributes(&self) -> io::Result<Attributes> {
        Ok(attributes(&rustix::fs::fstat(&self.fd)?))
    }

    /// Attributes of an open file.
    pub(crate) fn attributes_of_file(file: &File) -> io::Result<Attributes> {
        Ok(attributes(&rustix::fs::fstat(file)?))
    }

    /// Whether this process may create files here.
    pub(crate) fn is_writable(&self) -> bool {
        rustix::fs::accessat(&self.fd, ".", Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    /// Whether files here can be mapped with the certainty that only this machine changes them.
    pub(crate) fn is_local(&self) -> bool {
        is_local(self.fd.as_fd())
    }

    /// Whether an error of [`open_file`](Self::open_file) is owed to what the name stands for (a link, a
    /// socket, somebody else's file), and other names will do.
    pub(crate) fn is_about_the_name(error: &io::Error) -> bool {
        use rustix::io::Errno;
        matches!(
            Errno::from_io_error(error),
            Some(
                Errno::LOOP
                    | Errno::NXIO
                    | Errno::ISDIR
                    | Errno::NOTDIR
                    | Errno::ACCESS
                    | Errno::PERM
            )
        )
    }

    /// Makes a written file readable, and writable for nobody.
    pub(crate) fn seal_permissions(file: &File) -> io::Result<()> {
        Ok(rustix::fs::fchmod(
            file,
            Mode::RUSR | Mode::RGRP | Mode::ROTH,
        )?)
    }

    /// For messages; never for access.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(target_os = "linux")]
fn is_local(fd: std::os::fd::BorrowedFd<'_>) -> bool {
    // From linux/magic.h and the file systems' own headers: the ones whose pages another machine, or a
    // user-space server, can change behind a mapping.
    const REMOTE: [u64; 12] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x6573_5546, // FUSE
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
        0x7375_7245, // Coda
        0x0bd0_0bd0, // Lustre
        0x4750_4653, // GPFS
        0x0131_11a8, // IBRIX
    ];
    #[expect(
        clippy::cast_sign_loss,
        reason = "the type is a 32-bit number in a word of varying width"
    )]
    rustix::fs::fstatfs(fd).is_ok_and(|stat| !REMOTE.contains(&(stat.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_local(_: std::os::fd::BorrowedFd<'_>) -> bool {
    false
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
    }
}
