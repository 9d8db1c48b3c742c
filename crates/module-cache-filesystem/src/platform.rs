//! What differs between systems beside the calls of [`Directory`](crate::directory::Directory): boots, mounts, file
//! systems and users. Each system has a file with the same functions.

#[cfg(target_vendor = "apple")]
mod apple;
#[cfg(target_vendor = "apple")]
pub(crate) use apple::{MAPS, boot_id, mount, storage};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{MAPS, boot_id, mount, storage};

#[cfg(all(unix, not(any(target_os = "linux", target_vendor = "apple"))))]
mod other;
#[cfg(all(unix, not(any(target_os = "linux", target_vendor = "apple"))))]
pub(crate) use other::{MAPS, boot_id, mount, storage};

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{
    another_users, effective_user, objection_by_access_list, overflow_user, weak_ancestor,
    weak_link,
};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{
    MAPS, another_users, boot_id, effective_user, mount, objection_by_access_list, overflow_user,
    storage, weak_ancestor, weak_link,
};
