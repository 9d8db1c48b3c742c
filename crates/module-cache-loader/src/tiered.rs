//! The handle of a module that has two tiers.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::wakers::Wakers;
use crate::{LoadError, Tier};

/// A handle of what was prepared of a module: of the fast tier at first, and of the best one when that is ready. Clones
/// share one value.
///
/// The handle keeps its value alive, whatever the cache evicts. [`TieredLoader`](crate::TieredLoader) creates it.
pub struct Tiered<T>(Arc<Cell<T>>);

impl<T> Tiered<T> {
    pub(crate) fn on_best(value: T) -> Self {
        let cell = Cell::new(None);
        cell.set_best(value);
        cell.end(Ok(()));
        Self(Arc::new(cell))
    }

    pub(crate) fn on_fast(value: T) -> Self {
        Self(Arc::new(Cell::new(Some(value))))
    }

    pub(crate) fn cell(&self) -> &Arc<Cell<T>> {
        &self.0
    }

    /// The newest value.
    ///
    /// A request calls this once and keeps the value until it ends. The value of the fast tier is dropped after the
    /// upgrade, when the last request that has it ends.
    pub fn get(&self) -> Arc<T> {
        self.0.get()
    }

    /// The tier of what [`get`](Self::get) returns now.
    pub fn tier(&self) -> Tier {
        if self.0.is_on_best() {
            Tier::Best
        } else {
            Tier::Fast
        }
    }

    /// Waits until the value is of the best tier and best was saved, if the cache takes it, or until it is known that the
    /// upgrade failed. What was saved may still be on its way to a storage: see
    /// [`flush`](module_cache_core::ModuleCache::flush).
    ///
    /// # Errors
    ///
    /// The reason why the upgrade failed. [`LoadError::Abandoned`] if the loader was dropped before it upgraded this
    /// module, or no thread could be started to upgrade it.
    pub fn wait_upgraded(&self) -> Result<(), LoadError> {
        let mut ending = self.0.ending.lock();
        loop {
            if let Some(outcome) = &ending.outcome {
                return outcome.clone();
            }
            self.0.ended.wait(&mut ending);
        }
    }

    /// Like [`wait_upgraded`](Self::wait_upgraded) for async callers, on any executor. Poll it once to see the present
    /// state.
    ///
    /// # Errors
    ///
    /// As for `wait_upgraded`.
    pub async fn upgraded(&self) -> Result<(), LoadError> {
        let cell = &self.0;
        Upgraded { cell, number: None }.await
    }
}

impl<T> Clone for Tiered<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Tiered<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Tiered").field(&self.tier()).finish()
    }
}

/// What the clones of a handle share, and whoever upgrades it.
pub(crate) struct Cell<T> {
    /// Set once, and read without a lock.
    best: OnceLock<Arc<T>>,
    /// Taken out after `best` was set.
    fast: RwLock<Option<Arc<T>>>,
    ending: Mutex<Ending>,
    ended: Condvar,
    /// What a handle that stays on fast is upgraded with, if it comes to that.
    stays_with: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

#[derive(Default)]
struct Ending {
    outcome: Option<Result<(), LoadError>>,
    wakers: Wakers,
}

impl<T> Cell<T> {
    fn new(fast: Option<T>) -> Self {
        Self {
            best: OnceLock::new(),
            fast: RwLock::new(fast.map(Arc::new)),
            ending: Mutex::default(),
            ended: Condvar::new(),
            stays_with: Mutex::default(),
        }
    }

    fn get(&self) -> Arc<T> {
        if let Some(best) = self.best.get() {
            return Arc::clone(best);
        }
        if let Some(fast) = &*self.fast.read() {
            return Arc::clone(fast);
        }
        let best = self.best.get();
        Arc::clone(best.unwrap_or_else(|| unreachable!("fast leaves after best came")))
    }

    pub(crate) fn set_best(&self, value: T) {
        let _ = self.best.set(Arc::new(value));
        // Dropped outside of the lock: it is other people's code. A panic of that is theirs, too.
        let fast = self.fast.write().take();
        let stays_with = self.stays_with.lock().take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop((fast, stays_with))));
    }

    /// Keeps what the handle is upgraded with for as long as there is the handle.
    pub(crate) fn stay_with(&self, upgrade: Arc<dyn Any + Send + Sync>) {
        *self.stays_with.lock() = Some(upgrade);
    }

    pub(crate) fn is_on_best(&self) -> bool {
        self.best.get().is_some()
    }

    /// Tells those who wait what became of it. After the first time, only a success counts.
    pub(crate) fn end(&self, outcome: Result<(), LoadError>) {
        let mut ending = self.ending.lock();
        if ending.outcome.is_none() || outcome.is_ok() {
            ending.outcome = Some(outcome);
        }
        let wakers = ending.wakers.take();
        drop(ending);
        self.ended.notify_all();
        wakers.wake();
    }
}

/// Waits for the outcome. Dropped, it leaves nothing behind.
struct Upgraded<'a, T> {
    cell: &'a Cell<T>,
    /// The number of this one's waker.
    number: Option<u64>,
}

impl<T> Future for Upgraded<'_, T> {
    type Output = Result<(), LoadError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Outside of the lock, like the drop of the one before: it is other people's code.
        let waker = context.waker().clone();
        let mut ending = self.cell.ending.lock();
        if let Some(outcome) = &ending.outcome {
            return Poll::Ready(outcome.clone());
        }
        let (number, before) = ending.wakers.put(self.number, waker);
        drop(ending);
        self.number = Some(number);
        drop(before);
        Poll::Pending
    }
}

impl<T> Drop for Upgraded<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let waker = self.cell.ending.lock().wakers.remove(number);
            drop(waker);
        }
    }
}
