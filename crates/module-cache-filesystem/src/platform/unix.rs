//! Users and permissions, as all Unix systems have them.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::directory::Directory;
use crate::trust_check::{ROOT, WRITABLE_BY_OTHERS};

/// The user that access is checked for.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user that a user namespace shows in place of everybody it does not know.
pub(crate) fn overflow_user() -> u32 {
    static USER: OnceLock<u32> = OnceLock::new();
    *USER.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/overflowuid")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(65534)
    })
}

/// Owners and modes say it all here.
pub(crate) fn objection_by_access_list(_: &Directory) -> Option<String> {
    None
}

/// The first directory from `path` upwards, and its owner, below which root would plant its files where another user
/// decides what becomes of them.
pub(crate) fn another_users(path: &Path, user: u32) -> Option<(&Path, u32)> {
    path.ancestors()
        .filter_map(|ancestor| Some((ancestor, ancestor.metadata().ok()?.uid())))
        .find(|(_, owner)| user == ROOT && *owner != ROOT)
}

/// The first directory from `path` upwards in which somebody else could swap what lies in it.
pub(crate) fn weak_ancestor(path: &Path, user: u32) -> Option<&Path> {
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
pub(crate) fn weak_link(path: &Path, user: u32) -> Option<PathBuf> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
