//! Whether a directory, and a file in it, can hold code that this process will execute.
//!
//! Whoever can write an entry can run code in every process that loads it. So the directory that holds
//! the entries, and each entry, must belong to the user of this process (or to root, who can do anything
//! anyway, where the cache is only read) and be writable for nobody else. What stands above it is
//! examined once, when the cache is opened.

use std::path::{Path, PathBuf};

use crate::directory::Attributes;

const WRITABLE_BY_OTHERS: u32 = 0o022;
const ROOT: u32 = 0;

/// What is wrong with using the directory or file that has these attributes, if anything.
pub(crate) fn objection(attributes: &Attributes, user: u32) -> Option<String> {
    let Attributes { owner, mode, .. } = *attributes;
    if owner == overflow_user() {
        return Some(format!(
            "its owner is user {owner}, who stands for users unknown here"
        ));
    }
    if owner != user && owner != ROOT {
        return Some(format!(
            "it belongs to user {owner}, and this is user {user}; choose a folder of your own"
        ));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Some(format!(
            "its mode is {mode:03o}, so others can write to it; `chmod go-w` it if you trust what it holds"
        ));
    }
    None
}

/// The first directory from `path` upwards, and its owner, below which root would plant its files where another user
/// decides what becomes of them.
#[cfg(unix)]
pub(crate) fn another_users(path: &Path, user: u32) -> Option<(&Path, u32)> {
    use std::os::unix::fs::MetadataExt;

    path.ancestors()
        .filter_map(|ancestor| Some((ancestor, ancestor.metadata().ok()?.uid())))
        .find(|(_, owner)| user == ROOT && *owner != ROOT)
}

#[cfg(not(unix))]
pub(crate) fn another_users(_: &Path, _: u32) -> Option<(&Path, u32)> {
    None
}

/// The user that access is checked for; 0 where there are no numbers for users.
#[cfg(unix)]
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
pub(crate) fn effective_user() -> u32 {
    0
}

/// The first directory from `path` upwards in which somebody else could swap what lies in it.
#[cfg(unix)]
pub(crate) fn weak_ancestor(path: &Path, user: u32) -> Option<&Path> {
    use std::os::unix::fs::MetadataExt;

    const STICKY: u32 = 0o1000;
    path.ancestors().find(|ancestor| {
        ancestor.metadata().is_ok_and(|metadata| {
            let (owner, mode) = (metadata.uid(), metadata.mode());
            let others_write = mode & WRITABLE_BY_OTHERS != 0 && mode & STICKY == 0;
            others_write || (owner != user && owner != ROOT)
        })
    })
}

/// The first link on the way to an absolute path that somebody else could replace, or owns.
#[cfg(unix)]
pub(crate) fn weak_link(path: &Path, user: u32) -> Option<PathBuf> {
    use std::ffi::OsString;
    use std::os::unix::fs::MetadataExt;

    /// As many as systems follow.
    const MOST: usize = 40;
    let mut links = 0;
    let mut at = PathBuf::new();
    let parts = |path: &Path| -> Vec<OsString> {
        path.components()
            .rev()
            .map(|part| part.as_os_str().to_owned())
            .collect()
    };
    let mut left = parts(path);
    while let Some(part) = left.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let directory = at.clone();
        at.push(part);
        let Ok(target) = std::fs::read_link(&at) else {
            continue;
        };
        let owner = at.symlink_metadata().map_or(user, |link| link.uid());
        links += 1;
        if weak_ancestor(&directory, user).is_some()
            || ![user, ROOT].contains(&owner)
            || links > MOST
        {
            return Some(at);
        }
        at = directory;
        left.extend(parts(&target));
    }
    None
}

#[cfg(not(unix))]
pub(crate) fn weak_link(_: &Path, _: u32) -> Option<PathBuf> {
    None
}

/// Elsewhere, who may write is a matter of access lists, which the standard library does not show.
#[cfg(not(unix))]
pub(crate) fn weak_ancestor(_: &Path, _: u32) -> Option<&Path> {
    None
}

/// The user that a user namespace shows in place of everybody it does not know.
fn overflow_user() -> u32 {
    static USER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *USER.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/overflowuid")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65534)
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::directory::Kind;

    fn attributes(owner: u32, mode: u32) -> Attributes {
        Attributes {
            kind: Kind::File,
            size: 0,
            owner,
            mode,
            device: 0,
            inode: 0,
            changed: 0,
            modified: 0,
        }
    }

    #[test]
    fn only_the_user_and_root_are_trusted_and_nobody_else_may_write() {
        assert_eq!(objection(&attributes(1000, 0o700), 1000), None);
        assert_eq!(objection(&attributes(0, 0o755), 1000), None);
        for (owner, mode) in [
            (1001, 0o700),
            (1000, 0o720),
            (1000, 0o702),
            (0, 0o777),
            (65534, 0o700),
        ] {
            assert!(
                objection(&attributes(owner, mode), 1000).is_some(),
                "{owner} {mode:o}"
            );
        }
        assert!(objection(&attributes(65534, 0o700), 65534).is_some());
    }

    #[test]
    fn a_sticky_directory_above_is_fine_and_an_open_one_is_not() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        std::fs::create_dir(&below).unwrap();
        for (mode, weak) in [(0o700, false), (0o777, true), (0o1777, false)] {
            std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                weak_ancestor(&below, effective_user()) == Some(dir.path()),
                weak,
                "{mode:o}"
            );
        }
    }
}
