//! A directory that was opened once: everything below it is reached through that descriptor, so that
//! nobody can swap a parent for a link in between.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::Directory;

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{Directory, information};

/// What the system says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) kind: Kind,
    /// Length in bytes.
    pub(crate) size: u64,
    /// Owner; 0 where there are none.
    pub(crate) owner: u32,
    /// Permission bits; 0 where there are none.
    pub(crate) mode: u32,
    /// With `inode`: the same for the same file only.
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Time of the last change to contents or attributes, in nanoseconds since 1970. Unlike the time of
    /// modification, no program can set it.
    pub(crate) changed: i64,
    /// Time of the last change to contents, in nanoseconds since 1970, as far as no program set another.
    pub(crate) modified: i64,
    /// The number of the last change, where the file system counts them; else 0.
    pub(crate) usn: u64,
}

/// How much room a file system has, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    pub(crate) total: u64,
    /// With what is kept for root.
    pub(crate) free: u64,
    /// For this user.
    pub(crate) available: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Other,
}

/// Space is given out in blocks, so that is how it is counted; an empty file still takes its name.
pub(crate) fn blocks(len: u64) -> u64 {
    len.max(1)
        .checked_next_multiple_of(4096)
        .unwrap_or(u64::MAX)
}
