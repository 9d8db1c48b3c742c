//! File systems in files, and a place for them that goes away whatever happens.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::process;

/// A tmpfs of this program's own.
pub(super) struct Scratch(TempDir);

impl Scratch {
    pub(super) fn new() -> Result<Self> {
        let scratch = Self(tempfile::tempdir()?);
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            "size=4g,mode=700",
            "module-cache-faults",
        ]);
        process::capture(mount.arg(scratch.path()))?;
        Ok(scratch)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// A file system, and how it is made and mounted.
pub(super) struct Kind {
    pub(super) name: &'static str,
    make: &'static [&'static str],
    options: &'static str,
    size: u64,
}

pub(super) const KINDS: [Kind; 4] = [
    Kind {
        name: "ext4, ordered",
        make: &["mkfs.ext4", "-q", "-F"],
        options: "data=ordered",
        size: 64 << 20,
    },
    Kind {
        name: "ext4, writeback",
        make: &["mkfs.ext4", "-q", "-F"],
        options: "data=writeback",
        size: 64 << 20,
    },
    Kind {
        name: "XFS",
        make: &["mkfs.xfs", "-q", "-f"],
        options: "nouuid",
        size: 320 << 20,
    },
    Kind {
        name: "Btrfs",
        make: &["mkfs.btrfs", "-q", "-f"],
        options: "commit=300",
        size: 160 << 20,
    },
];

impl Kind {
    /// Makes an empty file system in a file.
    pub(super) fn make(&self, file: &Path) -> Result<()> {
        File::create(file)?.set_len(self.size)?;
        let mut make = Command::new(self.make[0]);
        process::capture(make.args(&self.make[1..]).arg(file))?;
        Ok(())
    }

    /// Mounts the file system in a file.
    pub(super) fn mount(&self, file: &Path, at: &Path) -> Result<Mounted> {
        fs::create_dir_all(at)?;
        let mut mount = Command::new("mount");
        mount.arg("-o").arg(format!("loop,{}", self.options));
        process::capture(mount.arg(file).arg(at))?;
        Ok(Mounted(at.to_owned()))
    }
}

/// A file system that is mounted until this is dropped.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Its loop device goes with it.
        if process::capture(Command::new("umount").arg(&self.0)).is_err() {
            let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        }
    }
}
