//! A reader-writer lock that is biased toward its readers: without a writer about, a reader executes no
//! locked instruction, and writes to no cache line that another thread uses.
//!
//! A reader raises a flag of its own and looks whether the bias is revoked. A writer revokes the bias, and
//! waits for the flags that are up. Readers that find it revoked take an ordinary lock, and so do those
//! that have no flag. This is BRAVO (Dice and Kogan, *BRAVO: Biased Locking for Reader-Writer Locks*, USENIX
//! ATC 2019) with a flag for each thread instead of a table of readers, and with an asymmetric fence in place
//! of an atomic exchange.
//!
//! `tests/biased_lock_model.rs` compiles this very file against the primitives of a model checker. So it takes all
//! primitives from `crate::sync`.

#![expect(unsafe_code, reason = "readers look past the ordinary lock")]

use crate::sync::{
    AtomicBool, CachePadded, EXCLUSIVE_SLOTS, Mutex, Ordering, RwLock, Slot, asymmetric_fence,
    exclusive, pause,
};

/// A value that is read all the time and seldom changed.
#[derive(Debug)]
pub(crate) struct BiasedLock<T> {
    /// By slot: whether its thread reads past the lock.
    readers: [CachePadded<AtomicBool>; EXCLUSIVE_SLOTS],
    /// Set while a writer is about, or for ever where fences are not available.
    revoked: AtomicBool,
    /// Held by a writer from before it revokes the bias until after it gave it back.
    writer: Mutex<()>,
    value: RwLock<T>,
}

impl<T> BiasedLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            readers: std::array::from_fn(|_| CachePadded::new(AtomicBool::new(false))),
            revoked: AtomicBool::new(!asymmetric_fence::available()),
            writer: Mutex::new(()),
            value: RwLock::new(value),
        }
    }

    /// Looks at the value. `look` must not use the lock again.
    #[inline]
    pub(crate) fn read<R>(&self, slot: Slot, look: impl FnOnce(&T) -> R) -> R {
        let flag = exclusive(slot).map(|index| &*self.readers[index]);
        if let Some(_raised) = flag.and_then(|flag| Raised::unless(&self.revoked, flag)) {
            // SAFETY: `data_ptr` is the lock's own value, which lives as long as `self`. It is changed in
            // `write` alone, by one thread at a time, which has revoked the bias and seen every flag down
            // since. This flag is up, and the bias was not revoked after it was raised. By the fences between,
            // the writer would see the flag: it waits until `_raised` is dropped, after `look`, whose result
            // cannot borrow from the value. Nobody else lowers the flag: a slot has one thread, and that has
            // found the flag down before it raised it.
            return look(unsafe { &*self.value.data_ptr() });
        }
        look(&self.value.read())
    }

    /// Changes the value, with nobody looking. `change` must not use the lock again.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        // In this order, so that the bias is given back before another writer revokes it. Readers that find it
        // revoked go on behind the ordinary lock while this waits for those that did not.
        let _writer = self.writer.lock();
        let mut revoked = Revoked::new(&self.revoked);
        // Where it was revoked for good, no flag is ever up, and there is no fence to be had.
        if !revoked.for_good {
            revoked.for_good = !asymmetric_fence::heavy();
            for reader in &self.readers {
                wait_while_raised(reader);
            }
        }
        change(&mut self.value.write())
    }

    /// Whether readers take the ordinary lock, now or for good.
    #[cfg(test)]
    pub(crate) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }

    /// Whether a thread looks past the ordinary lock.
    #[cfg(test)]
    pub(crate) fn has_reader(&self, slot: usize) -> bool {
        self.readers[slot].load(Ordering::Relaxed)
    }

    /// As where fences are not available.
    #[cfg(test)]
    pub(crate) fn revoke_for_good(&self) {
        self.revoked.store(true, Ordering::Relaxed);
    }
}

/// A reader's flag, up until this is dropped.
struct Raised<'a>(&'a AtomicBool);

impl<'a> Raised<'a> {
    /// Raises the flag, unless the bias is revoked, or the flag is up for a look further down the stack.
    #[inline]
    fn unless(revoked: &AtomicBool, flag: &'a AtomicBool) -> Option<Self> {
        if flag.load(Ordering::Relaxed) {
            return None;
        }
        flag.store(true, Ordering::Relaxed);
        let raised = Self(flag);
        asymmetric_fence::light();
        // Acquire: sees what the last writer wrote before it gave the bias back.
        (!revoked.load(Ordering::Acquire)).then_some(raised)
    }
}

impl Drop for Raised<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: the look is over for whoever sees this.
        self.0.store(false, Ordering::Release);
    }
}

/// The bias, revoked until this is dropped.
struct Revoked<'a> {
    flag: &'a AtomicBool,
    /// Whether it stays revoked.
    for_good: bool,
}

impl<'a> Revoked<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        let for_good = flag.swap(true, Ordering::Relaxed);
        Self { flag, for_good }
    }
}

impl Drop for Revoked<'_> {
    fn drop(&mut self) {
        self.flag.store(self.for_good, Ordering::Release);
    }
}

/// A look takes nanoseconds, unless its thread is not running.
fn wait_while_raised(flag: &AtomicBool) {
    let mut rounds = 0;
    while flag.load(Ordering::Acquire) {
        pause(rounds);
        rounds += 1;
    }
}
