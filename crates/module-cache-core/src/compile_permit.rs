//! A permit to compile one module, given to one holder at a time among all who share a storage.

use std::any::Any;
use std::fmt;

/// What ends a permit when it is dropped.
pub type PermitGuard = Box<dyn Any + Send>;

/// The answer to "may I compile this?", from
/// [`ModuleCache::compile_permit`](crate::ModuleCache::compile_permit). It comes at once.
///
/// A storage that several processes or hosts share gives the permit to one of them, so that a module is compiled
/// once. The others can wait for that one, or compile another module meanwhile.
#[must_use]
pub enum CompilePermit {
    /// Nobody else who shares the storage compiles the module until the guard is dropped. Look once more before
    /// compiling: another holder may have been done just before.
    Exclusive(PermitGuard),
    /// Somebody else has it.
    Held(PermitWait),
    /// This storage coordinates nothing. Compile.
    Uncoordinated,
}

/// A wait for the holder of a permit.
#[must_use]
pub struct PermitWait(Box<dyn FnOnce() + Send>);

impl CompilePermit {
    /// A permit that ends when `guard` is dropped.
    pub fn exclusive(guard: impl Send + 'static) -> Self {
        Self::Exclusive(Box::new(guard))
    }

    /// A permit that somebody else has. `wait` blocks until that is over; see [`PermitWait::wait`].
    pub fn held(wait: impl FnOnce() + Send + 'static) -> Self {
        Self::Held(PermitWait(Box::new(wait)))
    }

    /// What holds when two storages were asked: both must allow it. What one of them gave is given back if the
    /// other is to be waited for.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Held(wait), _) | (_, Self::Held(wait)) => Self::Held(wait),
            (Self::Uncoordinated, permit) | (permit, Self::Uncoordinated) => permit,
            (Self::Exclusive(first), Self::Exclusive(second)) => Self::exclusive((first, second)),
        }
    }
}

impl PermitWait {
    /// Blocks until the holder is done, or gives no more sign of life. Then look for the module, and if it is not there,
    /// ask again: a holder that died or was stopped is not waited for twice.
    pub fn wait(self) {
        (self.0)();
    }
}

impl fmt::Debug for CompilePermit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Exclusive(_) => "Exclusive",
            Self::Held(_) => "Held",
            Self::Uncoordinated => "Uncoordinated",
        })
    }
}

impl fmt::Debug for PermitWait {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("PermitWait")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_one_storage_gave_is_given_back_while_the_other_is_waited_for() {
        let guard = Arc::new(());
        let held = || CompilePermit::held(|| ());
        for both in [
            CompilePermit::exclusive(guard.clone()).and(held()),
            held().and(CompilePermit::exclusive(guard.clone())),
        ] {
            assert_eq!(Arc::strong_count(&guard), 1);
            assert!(matches!(both, CompilePermit::Held(_)));
        }
    }

    #[test]
    fn two_permits_last_as_long_as_one_guard() {
        let guards = [Arc::new(()), Arc::new(())];
        let [first, second] = guards.clone().map(CompilePermit::exclusive);
        let both = first.and(second).and(CompilePermit::Uncoordinated);
        assert!(guards.iter().all(|guard| Arc::strong_count(guard) == 2));
        drop(both);
        assert!(guards.iter().all(|guard| Arc::strong_count(guard) == 1));
    }
}
