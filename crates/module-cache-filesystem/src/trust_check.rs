//! Whether a directory, and a file in it, can hold code that this process will execute.
//!
//! Whoever can write an entry can run code in every process that loads it. So the directory that holds
//! the entries, and each entry, must belong to the user of this process (or to root, who can do anything
//! anyway, where the cache is only read) and be writable for nobody else. What stands above it is
//! examined once, when the cache is opened.

use std::path::Path;

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

/// Whether creating something in `parent` would plant root's files under another user's directory, where
/// that user decides what becomes of them.
pub(crate) fn is_root_below_another(parent: &Attributes, user: u32) -> bool {
    user == ROOT && parent.owner != ROOT
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
