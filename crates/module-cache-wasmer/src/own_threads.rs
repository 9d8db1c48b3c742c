//! Where compilation runs: on threads that do nothing else.
//!
//! wasmer compiles functions in a pool that it makes for each module, but trampolines in the rayon pool of
//! the calling thread, or in the global one. If all workers of the global pool wait for a module, nobody is
//! left to make its trampolines. And a worker that waits for a compilation takes up other work of its pool
//! meanwhile, which may be another module of the same engine: that would wait for the engine's lock, which
//! this very thread holds. So no thread of anybody else's pool may wait in wasmer, and no pool may be shared
//! by two compilations.

use std::thread;

use module_cache_core::EngineError;
use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};

/// Runs `compile` in a new rayon pool, blocking without doing anything else until it is done.
///
/// The threads for that take a fraction of a millisecond to start, as wasmer's own do.
///
/// # Errors
///
/// When `compile` panics, or no thread can be started.
pub(crate) fn run<T: Send>(compile: impl FnOnce() -> T + Send) -> Result<T, EngineError> {
    let in_new_pool = || {
        let pool = ThreadPoolBuilder::new()
            .thread_name(|_| "module-cache-compile".to_owned())
            .build()?;
        Ok(pool.install(compile))
    };
    // The caller may be a worker, which must wait without looking for work: it joins a thread that is none.
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, in_new_pool)
            .map_err(|error| EngineError::new("cannot start a thread to compile on", error))?
            .join()
            .map_err(|panic| EngineError::panicked(&*panic))?
            .map_err(|error: ThreadPoolBuildError| {
                EngineError::new("cannot start the threads to compile on", error)
            })
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_runs_in_a_pool_of_its_own_wherever_it_comes_from() {
        let name = || thread::current().name().map(str::to_owned);
        let on_which = || run(|| (name(), rayon::broadcast(|_| name()))).unwrap();
        for (here, others) in rayon::broadcast(|_| on_which())
            .into_iter()
            .chain([on_which()])
        {
            assert_eq!(here.as_deref(), Some("module-cache-compile"));
            assert!(others.iter().all(|other| *other == here));
        }
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let in_place = || run(|| panic!("out of registers")).unwrap_err();
        for error in [in_place(), rayon::scope(|_| in_place())] {
            assert_eq!(error.to_string(), "the engine panicked: out of registers");
        }
    }

    #[test]
    fn a_worker_that_waits_takes_up_no_other_work() {
        // One worker: whatever is spawned there runs when it waits, if it looks for work then.
        let stranger = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let stolen = stranger.install(|| {
            let other_work = Arc::new(AtomicBool::new(false));
            let ran = Arc::clone(&other_work);
            rayon::spawn(move || ran.store(true, Ordering::Relaxed));
            run(|| thread::sleep(Duration::from_millis(50))).unwrap();
            other_work.load(Ordering::Relaxed)
        });
        assert!(!stolen);
    }
}
