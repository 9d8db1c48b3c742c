//! What is compiled behind those who use the fast tier: in which order, by whom, and for which handles.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use module_cache_core::{Engine, ModuleHash};
use parking_lot::Mutex;
use tracing::warn;

use crate::leader::panic_as_error;
use crate::remembered_errors::RememberedErrors;
use crate::tiered::Cell;
use crate::{LoadError, Tier};

/// The upgrades of one loader whose jobs are `J`s.
pub(crate) struct Upgrades<E: Engine, J> {
    state: Mutex<State<E, J>>,
    /// Of modules that stay on fast, so that not every load tries again.
    failed: RememberedErrors<LoadError>,
    pub(crate) done: AtomicU64,
    pub(crate) failures: AtomicU64,
}

struct State<E: Engine, J> {
    jobs: VecDeque<J>,
    /// By the module that they wait for, from when a job for it is made until that has ended.
    waiting: HashMap<ModuleHash, Vec<Box<dyn Waiter<E>>>>,
    workers: usize,
}

/// A handle that is to be upgraded, if anybody still has it.
pub(crate) trait Waiter<E: Engine>: Send {
    fn is_wanted(&self) -> bool;
    /// Gives it its best value, and does not tell yet.
    fn upgrade(&self, engine: &E, module: E::Module) -> Result<(), LoadError>;
    /// Tells what became of it.
    fn end(&self, outcome: Result<(), LoadError>);
}

impl<E: Engine, J> Upgrades<E, J> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                waiting: HashMap::new(),
                workers: 0,
            }),
            failed: RememberedErrors::default(),
            done: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Whether the module is on its way to best, or stays on fast: nobody need look whether it is stored.
    pub(crate) fn knows(&self, hash: ModuleHash) -> bool {
        self.state.lock().waiting.contains_key(&hash) || self.failed.get(hash).is_some()
    }

    /// Adds a handle to those that wait for the module, and the job if there is none. Says whether a worker is to be started
    /// that does it.
    pub(crate) fn add(
        &self,
        hash: ModuleHash,
        waiter: Box<dyn Waiter<E>>,
        job: impl FnOnce() -> J,
        most_workers: usize,
    ) -> bool {
        if let Some(error) = self.failed.get(hash) {
            waiter.end(Err(error));
            return false;
        }
        let mut unwanted = Vec::new();
        let mut state = self.state.lock();
        if let Some(waiting) = state.waiting.get_mut(&hash) {
            if waiting.len().is_power_of_two() {
                let (wanted, gone) = waiting.drain(..).partition(|waiter| waiter.is_wanted());
                (*waiting, unwanted) = (wanted, gone);
            }
            waiting.push(waiter);
            drop(state);
            drop(unwanted);
            return false;
        }
        state.waiting.insert(hash, vec![waiter]);
        state.jobs.push_back(job());
        let is_free = state.workers < most_workers;
        state.workers += usize::from(is_free);
        is_free
    }

    /// The next job of a worker, which ends if there is none.
    pub(crate) fn next(&self) -> Option<J> {
        let mut state = self.state.lock();
        let job = state.jobs.pop_front();
        state.workers -= usize::from(job.is_none());
        job
    }

    /// A worker that could not be started. The jobs are for those that run, or for the next one.
    pub(crate) fn not_started(&self) {
        self.state.lock().workers -= 1;
    }

    pub(crate) fn pending(&self) -> u64 {
        self.state.lock().waiting.len() as u64
    }

    /// Hands a module to all who wait for it, and returns those who are to be told.
    pub(crate) fn succeed(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Vec<Box<dyn Waiter<E>>> {
        self.done.fetch_add(1, Ordering::Relaxed);
        let mut upgraded = Vec::new();
        for waiter in self.take(hash) {
            match panic_as_error(hash, || waiter.upgrade(engine, module.clone())) {
                Ok(()) => upgraded.push(waiter),
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    waiter.end(Err(error.clone()));
                    log(hash, &error);
                }
            }
        }
        upgraded
    }

    /// Gives up what nobody has begun.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        let dropped = (mem::take(&mut state.jobs), mem::take(&mut state.waiting));
        drop(state);
        drop(dropped);
    }

    /// Tells all who wait that there will be no module.
    pub(crate) fn fail(&self, hash: ModuleHash, error: &LoadError) {
        if matches!(error, LoadError::Abandoned(_)) {
            return drop(self.take(hash));
        }
        self.failures.fetch_add(1, Ordering::Relaxed);
        // What failed to be fetched may be there a moment later.
        if !matches!(error, LoadError::Fetch { .. }) {
            self.failed.add(hash, error.clone());
        }
        for waiter in self.take(hash) {
            waiter.end(Err(error.clone()));
        }
        log(hash, error);
    }

    fn take(&self, hash: ModuleHash) -> Vec<Box<dyn Waiter<E>>> {
        let waiting = self.state.lock().waiting.remove(&hash);
        waiting.unwrap_or_default()
    }
}

/// A subscriber that panics costs the message.
fn log(hash: ModuleHash, error: &LoadError) {
    let _ = panic_as_error(hash, || {
        warn!(%hash, error = error as &dyn Error, "a module stays on the fast tier");
        Ok(())
    });
}

/// A handle, and what makes its value of a module.
pub(crate) struct Waiting<T, P> {
    cell: Weak<Cell<T>>,
    hash: ModuleHash,
    prepare: P,
}

impl<T, P> Waiting<T, P> {
    pub(crate) fn new(cell: &Arc<Cell<T>>, hash: ModuleHash, prepare: P) -> Self {
        Self {
            cell: Arc::downgrade(cell),
            hash,
            prepare,
        }
    }
}

impl<E, T, P, X> Waiter<E> for Waiting<T, P>
where
    E: Engine,
    T: Send + Sync,
    P: Fn(&E, E::Module) -> Result<T, X> + Send,
    X: Into<Box<dyn Error + Send + Sync>>,
{
    fn is_wanted(&self) -> bool {
        self.cell.strong_count() > 0
    }

    fn upgrade(&self, engine: &E, module: E::Module) -> Result<(), LoadError> {
        if let Some(cell) = self.cell.upgrade() {
            let prepared = (self.prepare)(engine, module);
            cell.set_best(
                prepared.map_err(|error| LoadError::prepare(self.hash, Tier::Best, error))?,
            );
        }
        Ok(())
    }

    fn end(&self, outcome: Result<(), LoadError>) {
        if let Some(cell) = self.cell.upgrade() {
            cell.end(outcome);
        }
    }
}

/// Where it was never said what became of it, it shows.
impl<T, P> Drop for Waiting<T, P> {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.upgrade() {
            cell.end(if cell.is_on_best() {
                Ok(())
            } else {
                Err(LoadError::Abandoned(self.hash))
            });
        }
    }
}
