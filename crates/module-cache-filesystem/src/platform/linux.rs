//! Linux.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::retry_on_intr;

use crate::storage::Storage;

/// Whether entries are mapped where nothing is said.
pub(crate) const MAPS: bool = true;

/// What differs between boots; `None` where that is not told.
pub(crate) fn boot_id() -> Option<Vec<u8>> {
    let id = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    // What hides it may leave an empty file.
    (id.len() > 1).then_some(id)
}

/// What is known of where an open file comes from.
pub(crate) fn storage(file: impl AsFd) -> Storage {
    // From linux/magic.h and the file systems' own headers. What is not here is not known.
    const OVERLAY: u64 = 0x794c_7630;
    const TMPFS: u64 = 0x0102_1994;
    const LOCAL: [u64; 8] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683e, // Btrfs
        0x2fc1_2fc1, // ZFS
        0xf2f5_2010, // F2FS
        0xca45_1a4e, // bcachefs
        0x7371_7368, // SquashFS
        0x8584_58f6, // ramfs
    ];
    #[expect(
        clippy::cast_sign_loss,
        reason = "the type is a 32-bit number in a word of varying width"
    )]
    let kind =
        retry_on_intr(|| rustix::fs::fstatfs(&file)).map(|stat| stat.f_type as u64 & 0xffff_ffff);
    match kind {
        Ok(OVERLAY) => Storage::Layered,
        Ok(TMPFS) => Storage::Memory,
        Ok(kind) if LOCAL.contains(&kind) => Storage::Local,
        _ => Storage::Remote,
    }
}

/// The mount that an open file is on. Linux counts mounts since 6.8; before, it gives the number of one that is gone to
/// the next, and before 5.8 it tells nothing.
pub(crate) fn mount(file: impl AsFd) -> Option<u64> {
    // STATX_MNT_ID_UNIQUE of linux/stat.h. A kernel that does not know it leaves it out of the answer.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let ask = |flags| {
        retry_on_intr(|| rustix::fs::statx(&file, "", AtFlags::EMPTY_PATH, flags))
            .ok()
            .filter(|stat| stat.stx_mask & flags.bits() != 0)
            .map(|stat| stat.stx_mnt_id)
    };
    // Numbers of both kinds do not meet: those that count begin where the others end.
    ask(UNIQUE).or_else(|| ask(StatxFlags::MNT_ID))
}
