//! Which run of the machine this is.

/// A number that differs between boots; `None` where the system does not tell.
///
/// What was verified before a boot may have been changed by a crash, by another system that mounted the
/// disk, or by a file system check.
pub(crate) fn boot_id() -> Option<u64> {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let hash = module_cache_core::ModuleHash::of(&text);
    hash.as_bytes()
        .first_chunk()
        .map(|first| u64::from_le_bytes(*first))
}
