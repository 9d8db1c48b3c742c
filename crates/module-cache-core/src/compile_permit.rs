//! Leave to compile one key, given to one holder at a time among all who share a storage.

use std::any::Any;
use std::fmt;

/// The answer to "may I compile this?", from
/// [`ModuleCache::compile_permit`](crate::ModuleCache::compile_permit).
///
/// A storage that several processes or hosts share gives the leave to one of them and lets the others
/// wait, so that a module is compiled once.
#[must_use]
pub enum CompilePermit {
    /// Nobody else who shares the storage compiles the key until the guard is dropped. Look once more
    /// before compiling: another holder may have been done just before.
    Exclusive(Box<dyn Any + Send>),
    /// Another holder had it; this call waited until that was over. Look again, and if the module still
    /// is not there, ask again.
    Waited,
    /// No coordination is to be had here. Compile.
    Uncoordinated,
}

impl CompilePermit {
    /// Leave that ends when `guard` is dropped.
    pub fn exclusive(guard: impl Send + 'static) -> Self {
        Self::Exclusive(Box::new(guard))
    }

    /// What holds when two storages were asked, `self` first: both must allow it.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Waited, _) | (_, Self::Waited) => Self::Waited,
            (Self::Uncoordinated, permit) | (permit, Self::Uncoordinated) => permit,
            (Self::Exclusive(first), Self::Exclusive(second)) => Self::exclusive((first, second)),
        }
    }
}

impl fmt::Debug for CompilePermit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Exclusive(_) => "Exclusive",
            Self::Waited => "Waited",
            Self::Uncoordinated => "Uncoordinated",
        })
    }
}
