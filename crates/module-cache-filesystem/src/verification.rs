//! When the contents of an entry are compared with its checksum.

/// When a [`FileSystemCache`](crate::FileSystemCache) hashes an entry before it hands it to an engine.
///
/// In any case, the entry's owner, permissions, length, module and engine are checked on every load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Verification {
    /// On every load.
    Always,
    /// On the first load since the file system was mounted (on systems that do not tell one mount from another, since the
    /// machine started), and again whenever the file has changed since. This finds damage that a disk did meanwhile, but not
    /// damage in memory.
    #[default]
    OncePerMount,
}
