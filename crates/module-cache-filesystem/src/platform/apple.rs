//! macOS, and what is like it.

use std::os::fd::AsFd;
use std::ptr;

use rustix::io::retry_on_intr;

use crate::storage::Storage;

/// Whether entries are mapped where nothing is said.
pub(crate) const MAPS: bool = false;

/// What differs between boots; `None` where that is not told. The time of the boot would move with the clock.
pub(crate) fn boot_id() -> Option<Vec<u8>> {
    let mut id = [0_u8; 64];
    let mut len = id.len();
    // SAFETY: the name ends in a zero, `len` is that of the buffer, and nothing is set.
    let result = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            id.as_mut_ptr().cast(),
            &raw mut len,
            ptr::null_mut(),
            0,
        )
    };
    (result == 0 && len > 1).then(|| id[..len].to_vec())
}

/// What is known of where an open file comes from: local disks with a time of change are APFS and HFS+.
pub(crate) fn storage(file: impl AsFd) -> Storage {
    let Ok(stat) = retry_on_intr(|| rustix::fs::fstatfs(&file)) else {
        return Storage::Remote;
    };
    let is_local = i64::from(stat.f_flags) & i64::from(libc::MNT_LOCAL) != 0;
    #[expect(clippy::cast_sign_loss, reason = "a byte of a name")]
    let name = stat.f_fstypename.map(|byte| byte as u8);
    let is_known = [&b"apfs\0"[..], b"hfs\0"]
        .iter()
        .any(|known| name.starts_with(known));
    if is_local && is_known {
        Storage::Local
    } else {
        Storage::Remote
    }
}

/// The device that an open file is on. A disk that is mounted anew may have the number of an earlier one.
pub(crate) fn mount(file: impl AsFd) -> Option<u64> {
    let stat = retry_on_intr(|| rustix::fs::fstat(&file)).ok()?;
    u64::try_from(stat.st_dev).ok()
}
