//! What a file system is worth: whether the files on it change by what this machine does alone, and whether their
//! attributes show it.

use std::sync::OnceLock;

/// Where the files of a directory come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

#[cfg(target_os = "linux")]
pub(crate) fn of(fd: impl std::os::fd::AsFd) -> Storage {
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
    let kind = rustix::io::retry_on_intr(|| rustix::fs::fstatfs(&fd))
        .map(|stat| stat.f_type as u64 & 0xffff_ffff);
    match kind {
        Ok(OVERLAY) => Storage::Layered,
        Ok(TMPFS) => Storage::Memory,
        Ok(kind) if LOCAL.contains(&kind) => Storage::Local,
        _ => Storage::Remote,
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn of<T>(_: T) -> Storage {
    Storage::Remote
}

/// The mount that an open file is on. Linux counts mounts since 6.8; before, it gives the number of one that is gone to
/// the next, and before 5.8 it tells nothing.
#[cfg(target_os = "linux")]
pub(crate) fn mount(fd: impl std::os::fd::AsFd) -> Option<u64> {
    use rustix::fs::{AtFlags, StatxFlags};

    // STATX_MNT_ID_UNIQUE of linux/stat.h. A kernel that does not know it leaves it out of the answer.
    const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);
    let ask = |flags| {
        rustix::io::retry_on_intr(|| rustix::fs::statx(&fd, "", AtFlags::EMPTY_PATH, flags))
            .ok()
            .filter(|stat| stat.stx_mask & flags.bits() != 0)
            .map(|stat| stat.stx_mnt_id)
    };
    // Numbers of both kinds do not meet: those that count begin where the others end.
    ask(UNIQUE).or_else(|| ask(StatxFlags::MNT_ID))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn mount<T>(_: T) -> Option<u64> {
    None
}

/// A number that differs between boots and, in one, between the mounts that a file can be on: what was seen of a file
/// under one of them says nothing under another. `None` where the system does not tell.
///
/// A boot or a mount is when a crash, another system or a check of the file system may have changed what lies there.
pub(crate) fn session(mount: Option<u64>) -> Option<u64> {
    static BOOT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let boot = BOOT.get_or_init(|| std::fs::read("/proc/sys/kernel/random/boot_id").ok());
    let text = [boot.as_deref()?, &mount?.to_le_bytes()].concat();
    let hash = module_cache_core::ModuleHash::of(&text);
    hash.as_bytes()
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first))
}
