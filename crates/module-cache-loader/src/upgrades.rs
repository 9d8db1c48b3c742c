//! What is compiled behind those who use the fast tier: in which order, by whom, and for which handles.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use module_cache_core::{Engine, ModuleHash};
use parking_lot::Mutex;
use tracing::warn;

use crate::leader::{log, panic_as_error};
use crate::remembered::Remembered;
use crate::tiered::Cell;
use crate::{LoadError, Tier};

/// The upgrades of one loader whose jobs are `J`s.
pub(crate) struct Upgrades<E: Engine, J> {
    state: Mutex<State<E, J>>,
    /// Of modules that stay on fast, so that not every load tries again.
    failed: Remembered<LoadError>,
    /// Of modules that somebody prepared: one who cannot keeps nobody else from best.
    prepared: Remembered<()>,
    /// Of those whose handles that stayed cannot prepare what others can, so that not every load tries them again.
    tried: Remembered<()>,
    pub(crate) done: AtomicU64,
    pub(crate) failures: AtomicU64,
}

struct State<E: Engine, J> {
    jobs: VecDeque<(ModuleHash, J)>,
    /// By the module that they wait for, from when a job for it is made until that has ended.
    waiting: HashMap<ModuleHash, Waiters<E>>,
    /// Those whose module stayed on fast, for as long as their handles keep them. A later upgrade is theirs, too.
    stayed: HashMap<ModuleHash, Vec<Weak<dyn Waiter<E>>>>,
    workers: usize,
}

pub(crate) type Waiters<E> = Vec<Arc<dyn Waiter<E>>>;

/// A handle that is to be upgraded, if anybody still has it.
pub(crate) trait Waiter<E: Engine>: Send + Sync {
    fn is_wanted(&self) -> bool;
    /// Gives it its best value, and does not tell yet. Says whether anybody has it.
    fn upgrade(&self, engine: &E, module: E::Module) -> Result<bool, LoadError>;
    /// Lets the handle keep it, which stays on fast.
    fn stay(self: Arc<Self>);
    /// Tells what became of it.
    fn end(&self, outcome: Result<(), LoadError>);
}

impl<E: Engine, J> Upgrades<E, J> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                waiting: HashMap::new(),
                stayed: HashMap::new(),
                workers: 0,
            }),
            failed: Remembered::default(),
            prepared: Remembered::default(),
            tried: Remembered::default(),
            done: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Whether the module is on its way to best, or stays on fast: nobody need look whether it is stored.
    pub(crate) fn knows(&self, hash: ModuleHash) -> bool {
        self.state.lock().waiting.contains_key(&hash) || self.stays(hash)
    }

    /// Whether best failed lately.
    pub(crate) fn stays(&self, hash: ModuleHash) -> bool {
        self.failed.get(hash).is_some()
    }

    /// Whether there are handles whose upgrade failed, and which may be tried again.
    pub(crate) fn has_stayed(&self, hash: ModuleHash) -> bool {
        self.state.lock().stayed.contains_key(&hash) && self.tried.get(hash).is_none()
    }

    /// Adds a handle to those that wait for the module, or none but those that stayed, and the job if there is none. Says
    /// whether a worker is to be started that does it.
    pub(crate) fn add(
        &self,
        hash: ModuleHash,
        waiter: Option<Arc<dyn Waiter<E>>>,
        job: impl FnOnce() -> J,
        most_workers: usize,
    ) -> bool {
        if let Some(error) = self.failed.get(hash) {
            self.stay(hash, waiter.into_iter().collect(), &error);
            return false;
        }
        let mut unwanted = Vec::new();
        let mut state = self.state.lock();
        if let Some(waiting) = state.waiting.get_mut(&hash) {
            if waiting.len().is_power_of_two() {
                let (wanted, gone) = waiting.drain(..).partition(|waiter| waiter.is_wanted());
                (*waiting, unwanted) = (wanted, gone);
            }
            waiting.extend(waiter);
            drop(state);
            drop(unwanted);
            return false;
        }
        state.waiting.insert(hash, waiter.into_iter().collect());
        state.push((hash, job()), most_workers)
    }

    /// The next job of a worker, which ends if there is none.
    pub(crate) fn next(&self) -> Option<(ModuleHash, J)> {
        let mut state = self.state.lock();
        let job = state.jobs.pop_front();
        state.workers -= usize::from(job.is_none());
        job
    }

    /// A worker that could not be started. The jobs are for those that run. If there are none, they are given up, and the
    /// next load of each module tries again.
    pub(crate) fn not_started(&self) {
        let mut state = self.state.lock();
        state.workers -= 1;
        let given_up = match state.workers {
            0 => mem::take(&mut state.jobs),
            _ => VecDeque::new(),
        };
        drop(state);
        self.give_up(given_up);
    }

    pub(crate) fn pending(&self) -> u64 {
        self.state.lock().waiting.len() as u64
    }

    /// Hands a module to all who wait for it, and to those that stayed on fast before. Returns those who are to be told, or
    /// `None` if none of their functions could prepare it.
    pub(crate) fn succeed(
        &self,
        hash: ModuleHash,
        engine: &E,
        module: &E::Module,
    ) -> Option<Waiters<E>> {
        let stayed = self.state.lock().stayed.remove(&hash).unwrap_or_default();
        let mut waiters = self.take(hash);
        waiters.extend(stayed.iter().filter_map(Weak::upgrade));
        let (mut upgraded, mut failed, mut failure) = (Vec::new(), Vec::new(), None);
        for waiter in waiters {
            match panic_as_error(hash, || waiter.upgrade(engine, module.clone())) {
                Ok(true) => upgraded.push(waiter),
                Ok(false) => {}
                Err(error) => {
                    failed.push(waiter);
                    failure.get_or_insert(error);
                }
            }
        }
        // Where nobody has a handle any more, the module is on best all the same.
        if !upgraded.is_empty() || failure.is_none() {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(error) = failure {
            if upgraded.is_empty() {
                self.not_prepared(hash, &error);
                self.stay(hash, failed, &error);
                return None;
            }
            self.stay(hash, failed, &error);
            log_failure(hash, &error);
        }
        if !upgraded.is_empty() {
            self.prepared(hash);
        }
        Some(upgraded)
    }

    /// Gives up what nobody has begun.
    pub(crate) fn close(&self) {
        let jobs = mem::take(&mut self.state.lock().jobs);
        self.give_up(jobs);
    }

    /// Tells all who wait that there will be no module.
    pub(crate) fn fail(&self, hash: ModuleHash, error: &LoadError) {
        match error {
            LoadError::Abandoned(_) => {}
            // What failed to be fetched may be there a moment later.
            LoadError::Fetch { .. } => self.count_failure(hash, error),
            _ => self.failed(hash, error),
        }
        self.stay(hash, self.take(hash), error);
    }

    /// Somebody prepared the best module.
    pub(crate) fn prepared(&self, hash: ModuleHash) {
        if self.prepared.get(hash).is_none() {
            self.prepared.add(hash, ());
        }
    }

    /// Somebody could not prepare the best module. Unless others could, it stays on fast for all.
    pub(crate) fn not_prepared(&self, hash: ModuleHash, error: &LoadError) {
        if self.prepared.get(hash).is_none() {
            return self.failed(hash, error);
        }
        self.tried.add(hash, ());
        self.count_failure(hash, error);
    }

    /// Counts a module that stays on fast, and remembers that.
    fn failed(&self, hash: ModuleHash, error: &LoadError) {
        if !self.stays(hash) {
            self.failed.add(hash, error.clone());
            self.count_failure(hash, error);
        }
    }

    fn count_failure(&self, hash: ModuleHash, error: &LoadError) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        log_failure(hash, error);
    }

    fn give_up(&self, jobs: VecDeque<(ModuleHash, J)>) {
        for (hash, _) in jobs {
            self.fail(hash, &LoadError::Abandoned(hash));
        }
    }

    /// Tells handles why they stay on fast. They keep what they would be upgraded with.
    fn stay(&self, hash: ModuleHash, waiters: Waiters<E>, error: &LoadError) {
        let waiters: Waiters<E> = waiters.into_iter().filter(|w| w.is_wanted()).collect();
        if waiters.is_empty() {
            return;
        }
        for waiter in &waiters {
            Arc::clone(waiter).stay();
        }
        let mut state = self.state.lock();
        if state.stayed.len().is_power_of_two() {
            state.stayed.retain(|_, stayed| stayed.iter().any(is_kept));
        }
        let stayed = state.stayed.entry(hash).or_default();
        if stayed.len().is_power_of_two() {
            stayed.retain(is_kept);
        }
        stayed.extend(waiters.iter().map(Arc::downgrade));
        drop(state);
        for waiter in waiters {
            waiter.end(Err(error.clone()));
        }
    }

    fn take(&self, hash: ModuleHash) -> Waiters<E> {
        let waiting = self.state.lock().waiting.remove(&hash);
        waiting.unwrap_or_default()
    }
}

impl<E: Engine, J> State<E, J> {
    /// Adds a job, and says whether a worker is to be started for it.
    fn push(&mut self, job: (ModuleHash, J), most_workers: usize) -> bool {
        self.jobs.push_back(job);
        let is_free = self.workers < most_workers;
        self.workers += usize::from(is_free);
        is_free
    }
}

fn is_kept<W: ?Sized>(waiter: &Weak<W>) -> bool {
    waiter.strong_count() > 0
}

fn log_failure(hash: ModuleHash, error: &LoadError) {
    log(
        hash,
        || warn!(%hash, error = error as &dyn Error, "a module stays on the fast tier"),
    );
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
    T: Send + Sync + 'static,
    P: Fn(&E, E::Module) -> Result<T, X> + Send + Sync + 'static,
    X: Into<Box<dyn Error + Send + Sync>>,
{
    fn is_wanted(&self) -> bool {
        self.cell.strong_count() > 0
    }

    fn upgrade(&self, engine: &E, module: E::Module) -> Result<bool, LoadError> {
        let Some(cell) = self.cell.upgrade() else {
            return Ok(false);
        };
        let prepared = (self.prepare)(engine, module);
        cell.set_best(prepared.map_err(|error| LoadError::prepare(self.hash, Tier::Best, error))?);
        Ok(true)
    }

    fn stay(self: Arc<Self>) {
        if let Some(cell) = self.cell.upgrade() {
            cell.stay_with(self);
        }
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

#[cfg(test)]
mod tests {
    use module_cache_core::Compile;
    use module_cache_testkit::TestEngine;

    use super::*;
    use crate::Tiered;

    #[test]
    fn where_no_thread_starts_handles_are_told_and_the_next_load_tries_again() {
        let upgrades = Upgrades::<TestEngine, ()>::new();
        let hash = ModuleHash::of(b"wasm");
        let load = |cell| {
            let prepare = |_: &TestEngine, _| Ok::<_, LoadError>(());
            let waiting = Arc::new(Waiting::new(cell, hash, prepare));
            upgrades.add(hash, Some(waiting), || (), 1)
        };
        let handles = [(); 2].map(|()| Tiered::on_fast(()));
        assert!(load(handles[0].cell()));
        upgrades.not_started();
        let told = handles[0].wait_upgraded();
        assert!(matches!(told, Err(LoadError::Abandoned(_))), "{told:?}");
        assert_eq!(upgrades.pending(), 0);
        assert!(load(handles[1].cell()));
        assert_eq!(upgrades.next(), Some((hash, ())));
        let engine = TestEngine::new("best");
        let module = engine.compile(&module_cache_testkit::wasm(1, 100)).unwrap();
        let upgraded = upgrades.succeed(hash, &engine, &module).unwrap();
        assert_eq!(upgraded.len(), 2);
    }
}
