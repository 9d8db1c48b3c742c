//! The identity of one engine object in this process.

use std::sync::atomic::{AtomicU64, Ordering};

/// One engine object in this process; clones of the engine share it.
///
/// Compiled code is interchangeable between engines of equal [`EngineId`](crate::EngineId), but a *live*
/// module is not: it belongs to the engine object that made it. Caches of live modules key by this too.
///
/// ```
/// use module_cache_core::EngineInstance;
///
/// let instance = EngineInstance::new();
/// assert_eq!(instance, instance.clone());
/// assert_ne!(instance, EngineInstance::new());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EngineInstance(u64);

impl EngineInstance {
    /// An identity that no other call in this process returns.
    #[expect(
        clippy::new_without_default,
        reason = "a default that differs each time would mislead"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// A number for hashing; unique in this process, without meaning outside of it.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}
