//! What `sync.rs` of the crate has, made of loom's primitives; any one of them can have a flaw.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU8;

use loom::thread::ThreadId;

pub(crate) use loom::sync::atomic::Ordering;

/// What is wrong with the primitives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Flaw {
    None,
    FenceFails,
    NoHeavyFence,
    NoLightFence,
    NoWait,
    NeverRevoked,
    RelaxedStores,
    RelaxedLoads,
    ManyWriters,
}

std::thread_local! {
    /// loom runs all threads of a model on one.
    static FLAW: AtomicU8 = const { AtomicU8::new(0) };
    static READER: Cell<Option<ThreadId>> = const { Cell::new(None) };
}

/// Begins a run of a model, on the thread that reads.
pub(crate) fn begin(flaw: Flaw) {
    FLAW.with(|now| now.store(flaw as u8, Ordering::Relaxed));
    READER.set(Some(loom::thread::current().id()));
}

fn is_reader() -> bool {
    READER.get() == Some(loom::thread::current().id())
}

fn has(flaw: Flaw) -> bool {
    FLAW.with(|now| now.load(Ordering::Relaxed) == flaw as u8)
}

/// The slot of a thread: its index, if no other has it.
pub(crate) type Slot = Option<usize>;

pub(crate) const EXCLUSIVE_SLOTS: usize = 1;

pub(crate) fn exclusive(slot: Slot) -> Option<usize> {
    slot
}

/// Lets another thread run: this one waits for it.
pub(crate) fn pause(_: u32) {
    loom::thread::yield_now();
}

#[derive(Debug)]
pub(crate) struct CachePadded<T>(T);

impl<T> CachePadded<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[derive(Debug)]
pub(crate) struct AtomicBool(loom::sync::atomic::AtomicBool);

impl AtomicBool {
    pub(crate) fn new(value: bool) -> Self {
        Self(loom::sync::atomic::AtomicBool::new(value))
    }

    pub(crate) fn load(&self, order: Ordering) -> bool {
        let order = if has(Flaw::RelaxedLoads) {
            Ordering::Relaxed
        } else {
            order
        };
        let value = self.0.load(order);
        // The reader looks at the bias, and a writer waits for flags.
        let ignored = if is_reader() {
            has(Flaw::NeverRevoked)
        } else {
            has(Flaw::NoWait)
        };
        value && !ignored
    }

    pub(crate) fn store(&self, value: bool, order: Ordering) {
        let order = if has(Flaw::RelaxedStores) {
            Ordering::Relaxed
        } else {
            order
        };
        self.0.store(value, order);
    }

    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        self.0.swap(value, order)
    }
}

pub(crate) mod asymmetric_fence {
    use loom::sync::atomic::{Ordering, fence};

    use super::{Flaw, has};

    pub(crate) fn available() -> bool {
        true
    }

    pub(crate) fn light() {
        if !has(Flaw::NoLightFence) {
            fence(Ordering::SeqCst);
        }
    }

    /// One that fails has the effect all the same: the time that it waits instead stands for it.
    pub(crate) fn heavy() -> bool {
        if !has(Flaw::NoHeavyFence) {
            fence(Ordering::SeqCst);
        }
        !has(Flaw::FenceFails)
    }
}

#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> Option<loom::sync::MutexGuard<'_, T>> {
        (!has(Flaw::ManyWriters)).then(|| self.0.lock().unwrap())
    }
}

/// The value is beside the lock, as a reader may look past that.
#[derive(Debug)]
pub(crate) struct RwLock<T> {
    lock: loom::sync::RwLock<()>,
    value: UnsafeCell<T>,
}

// SAFETY: as of a lock; what it holds is checked by loom.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            lock: loom::sync::RwLock::new(()),
            value: UnsafeCell::new(value),
        }
    }

    pub(crate) fn read(&self) -> Read<'_, T> {
        let guard = self.lock.read().unwrap();
        Read(guard, self)
    }

    pub(crate) fn write(&self) -> Write<'_, T> {
        let guard = self.lock.write().unwrap();
        Write(guard, self)
    }

    pub(crate) fn data_ptr(&self) -> *mut T {
        self.value.get()
    }
}

pub(crate) struct Read<'a, T>(
    #[expect(dead_code, reason = "it is held")] loom::sync::RwLockReadGuard<'a, ()>,
    &'a RwLock<T>,
);

pub(crate) struct Write<'a, T>(
    #[expect(dead_code, reason = "it is held")] loom::sync::RwLockWriteGuard<'a, ()>,
    &'a RwLock<T>,
);

impl<T> Deref for Read<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: locked to be read.
        unsafe { &*self.1.data_ptr() }
    }
}

impl<T> Deref for Write<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: locked.
        unsafe { &*self.1.data_ptr() }
    }
}

impl<T> DerefMut for Write<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked.
        unsafe { &mut *self.1.data_ptr() }
    }
}
