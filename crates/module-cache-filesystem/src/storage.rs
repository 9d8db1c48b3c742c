//! What a file system is worth: whether the files on it change by what this machine does alone, and whether their
//! attributes show it.

use std::sync::OnceLock;

use crate::platform;

/// Where the files of a directory come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "not each system has all of these")
)]
pub(crate) enum Storage {
    /// This kernel alone changes them, and says when it did in a time that no program can set.
    Local,
    /// The same, but for what is written through a mapping, of which a tmpfs takes no note.
    Memory,
    /// What was written here is local. Files that were there before come from a layer below, which may be anything.
    Layered,
    /// Another machine or a program can change them without a trace, or it is not known.
    Remote,
}

/// A number that differs between boots and, in one, between the mounts that a file can be on: what was seen of a file
/// under one of them says nothing under another. `None` where the system does not tell.
///
/// A boot or a mount is when a crash, another system or a check of the file system may have changed what lies there.
pub(crate) fn session(mount: Option<u64>) -> Option<u64> {
    static BOOT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let boot = BOOT.get_or_init(platform::boot_id);
    let text = [boot.as_deref()?, &mount?.to_le_bytes()].concat();
    let hash = module_cache_core::ModuleHash::of(&text);
    hash.as_bytes()
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first))
}

#[cfg(all(test, any(target_os = "linux", target_vendor = "apple")))]
mod tests {
    use super::*;
    use crate::directory::Directory;

    #[test]
    fn the_boot_and_the_mount_are_told_and_stay_the_same() {
        let keep = tempfile::tempdir().unwrap();
        let session = || session(Directory::open(keep.path()).unwrap().mount());
        assert!(session().is_some());
        assert_eq!(session(), session());
    }
}
