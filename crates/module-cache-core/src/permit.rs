//! Permits to compile a module, for loaders and for stores that processes share: one process compiles, and the others wait.

use std::fmt;
use std::time::Duration;

/// The outcome of a permit: whether processes that waited for its holder will find the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PermitOutcome {
    /// The module is stored.
    Stored,
    /// The module was compiled and could not be stored, because it is too large or there was no room. The next holder could
    /// not store it either.
    NotStored,
    /// The module does not compile.
    Failed,
    /// Unknown: the holder died, was stopped, or did not report an outcome.
    Unknown,
}

/// A permit that is held. Dropped, it ends with an outcome that is [unknown](PermitOutcome::Unknown).
#[must_use]
pub struct PermitGuard(Option<Box<dyn FnOnce(PermitOutcome) + Send>>);

impl PermitGuard {
    /// Releases the permit and tells its outcome to those who wait.
    pub fn release(mut self, outcome: PermitOutcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: PermitOutcome) {
        if let Some(end) = self.0.take() {
            end(outcome);
        }
    }
}

impl Drop for PermitGuard {
    fn drop(&mut self) {
        self.end(PermitOutcome::Unknown);
    }
}

/// The answer to "may I compile this?", from [`ModuleCache::compile_permit`](crate::ModuleCache::compile_permit). It is
/// given without waiting.
///
/// A storage that several processes or hosts share gives the permit to one of them, so that a module is compiled once. The
/// others can wait for its holder, or compile another module meanwhile.
#[must_use]
pub enum CompilePermit {
    /// No other process that shares the storage compiles the module until the guard is released. Look the module up again
    /// before compiling: another holder may have stored it just before.
    Exclusive(PermitGuard),
    /// Another process or thread holds the permit.
    Held(PermitWait),
    /// This storage coordinates nothing. Compile.
    Uncoordinated,
}

/// A wait for the holder of a permit.
#[must_use]
pub struct PermitWait(Box<dyn FnOnce(Duration) -> PermitOutcome + Send>);

impl CompilePermit {
    /// A permit that ends when `guard` is dropped, for a storage that does not pass on outcomes.
    pub fn exclusive(guard: impl Send + 'static) -> Self {
        Self::exclusive_until(|_| drop(guard))
    }

    /// A permit that ends with a call of `end`.
    pub fn exclusive_until(end: impl FnOnce(PermitOutcome) + Send + 'static) -> Self {
        Self::Exclusive(PermitGuard(Some(Box::new(end))))
    }

    /// A permit that another process or thread holds. `wait` blocks until it is released; see [`PermitWait::wait`].
    pub fn held(wait: impl FnOnce(Duration) -> PermitOutcome + Send + 'static) -> Self {
        Self::Held(PermitWait(Box::new(wait)))
    }

    /// The combined answer of two storages: both must permit the compilation. If one has to be waited for, a permit of the
    /// other is released.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Held(wait), _) | (_, Self::Held(wait)) => Self::Held(wait),
            (Self::Uncoordinated, permit) | (permit, Self::Uncoordinated) => permit,
            (Self::Exclusive(first), Self::Exclusive(second)) => Self::exclusive_until(|outcome| {
                first.release(outcome);
                second.release(outcome);
            }),
        }
    }
}

impl PermitWait {
    /// Blocks until the holder is done or no longer responds, and returns what is known about the outcome. Then look the
    /// module up. If it is not there, ask for the permit again, unless the outcome is that the module was not stored or
    /// does not compile: then waiting for another holder is useless.
    ///
    /// `expected` is how long the caller thinks that compiling takes. A remote storage polls less often for modules that
    /// take longer, and ends a wait that is no longer worthwhile.
    pub fn wait(self, expected: Duration) -> PermitOutcome {
        (self.0)(expected)
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
        let held = || CompilePermit::held(|_| PermitOutcome::Unknown);
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

    #[test]
    fn both_storages_hear_once_what_came_of_it() {
        for said in [Some(PermitOutcome::NotStored), None] {
            let (send, heard) = std::sync::mpsc::channel();
            let [first, second] = [send.clone(), send].map(|send| {
                CompilePermit::exclusive_until(move |outcome| send.send(outcome).unwrap())
            });
            match (first.and(second), said) {
                (CompilePermit::Exclusive(guard), Some(outcome)) => guard.release(outcome),
                (permit, _) => drop(permit),
            }
            let expected = said.unwrap_or(PermitOutcome::Unknown);
            assert_eq!(heard.iter().collect::<Vec<_>>(), [expected; 2]);
        }
    }
}
