//! The identity of one engine object in this process, and its end. An adapter makes an [`EngineInstance`] for each engine;
//! a cache of live modules needs the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// One engine object in this process: a handle that clones of the engine share. It ends when its last clone is
/// dropped.
///
/// Compiled code is interchangeable between engines of equal [`EngineId`](crate::EngineId), but a *live* module is not: it
/// belongs to the engine object that made it. Caches of live modules use the [`InstanceId`] as part of the key, and drop an
/// engine's modules when its instance ends. So a module must not hold a clone of the instance: it would stay in every cache
/// forever.
///
/// ```
/// use module_cache_core::instance::EngineInstance;
///
/// let instance = EngineInstance::new();
/// assert_eq!(instance.id(), instance.clone().id());
/// assert_ne!(instance.id(), EngineInstance::new().id());
///
/// let weak = instance.downgrade();
/// let handler = instance.when_dropped(|| println!("the engine is gone"));
/// drop(instance);
/// assert!(!weak.is_alive());
/// # drop(handler);
/// ```
#[derive(Clone)]
pub struct EngineInstance {
    id: InstanceId,
    life: Arc<Life>,
}

/// The number of an [`EngineInstance`], for keys of maps: unique in this process, and never reused. It has no meaning
/// outside of the process, and keeps nothing alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceId(u64);

/// Tells whether an [`EngineInstance`] lives, without keeping it alive.
#[derive(Debug, Clone)]
pub struct WeakEngineInstance(Weak<Life>);

impl EngineInstance {
    /// An instance that no other call in this process returns.
    #[expect(
        clippy::new_without_default,
        reason = "a default that differs each time would mislead"
    )]
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: InstanceId(NEXT.fetch_add(1, Ordering::Relaxed)),
            life: Arc::default(),
        }
    }

    /// Its number.
    #[inline]
    pub fn id(&self) -> InstanceId {
        self.id
    }

    /// Calls `act` when the last clone is dropped, unless the handler is dropped before: on the thread that drops the
    /// clone, or on one that drops a handler at the same time. A panic in `act` is caught, so that other handlers are
    /// called too.
    ///
    /// A cache of live modules drops the engine's modules here.
    pub fn when_dropped(&self, act: impl FnOnce() + Send + 'static) -> EndHandler {
        let mut handlers = self.life.lock();
        handlers.next += 1;
        let number = handlers.next;
        handlers.acts.insert(number, Box::new(act));
        EndHandler {
            life: self.downgrade(),
            number,
        }
    }

    /// A handle that tells whether this instance is still alive.
    pub fn downgrade(&self) -> WeakEngineInstance {
        WeakEngineInstance(Arc::downgrade(&self.life))
    }
}

/// A function to be called when an [`EngineInstance`] ends. Dropping this cancels the call.
#[derive(Debug)]
#[must_use = "dropped, it does nothing"]
pub struct EndHandler {
    life: WeakEngineInstance,
    number: u64,
}

impl Drop for EndHandler {
    fn drop(&mut self) {
        if let Some(life) = self.life.0.upgrade() {
            let act = life.lock().acts.remove(&self.number);
            // Not while others wait for the lock.
            drop(act);
        }
    }
}

impl InstanceId {
    /// The number, for hashing.
    #[inline]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl WeakEngineInstance {
    /// Whether any clone of the instance is alive.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl fmt::Debug for EngineInstance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("EngineInstance").field(&self.id.0).finish()
    }
}

/// What the clones share: what to do in the end.
#[derive(Default)]
struct Life(Mutex<Handlers>);

#[derive(Default)]
struct Handlers {
    /// In the order in which they came.
    acts: BTreeMap<u64, Box<dyn FnOnce() + Send>>,
    next: u64,
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, Handlers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Life")
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let handlers = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for act in mem::take(&mut handlers.acts).into_values() {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
                // What a panic brings may panic when it is dropped.
                mem::forget(panic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_clone_ends_it_and_a_panic_keeps_nobody_from_hearing_of_it() {
        struct PanicsWhenDropped;
        impl Drop for PanicsWhenDropped {
            fn drop(&mut self) {
                panic!("a second time");
            }
        }

        let heard = Arc::new(AtomicU64::new(0));
        let instance = EngineInstance::new();
        let weak = instance.downgrade();
        let handlers: Vec<_> = (0..3)
            .map(|n| {
                let (heard, weak) = (Arc::clone(&heard), weak.clone());
                instance.when_dropped(move || {
                    assert!(!weak.is_alive());
                    heard.fetch_add(1, Ordering::Relaxed);
                    if n == 1 {
                        std::panic::panic_any(PanicsWhenDropped);
                    }
                })
            })
            .collect();
        drop(instance.when_dropped(|| unreachable!("nobody wants to hear of it any more")));
        let clone = instance.clone();
        drop(instance);
        assert!(weak.is_alive());
        assert_eq!(heard.load(Ordering::Relaxed), 0);
        drop(clone);
        assert!(!weak.is_alive());
        assert_eq!(heard.load(Ordering::Relaxed), 3);
        drop(handlers);
    }
}
