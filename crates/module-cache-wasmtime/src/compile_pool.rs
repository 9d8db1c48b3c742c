//! Where compilation runs: a rayon pool of this crate's own.
//!
//! wasmtime compiles the functions of a module with rayon, in the pool that the calling thread belongs to,
//! or in the global one. That would tie a cache to strangers. If all workers of the global pool wait for
//! one module, nobody is left to compile it. And a worker that waits for its compilation takes other work
//! meanwhile, which may be another load of the same module: it would then wait for itself.

use std::panic::{self, AssertUnwindSafe};
use std::sync::OnceLock;
use std::thread;

use module_cache_core::EngineError;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Runs `compile` on a thread of the pool, blocking without doing anything else until it is done.
///
/// Where no thread can be started it runs in place: slowly is better than not at all.
///
/// # Errors
///
/// When `compile` panics.
pub(crate) fn run<T: Send>(compile: impl FnOnce() -> T + Send) -> Result<T, EngineError> {
    // A panic leaves nothing behind that is looked at again: the arguments are shared references, and
    // wasmtime drops what it was making.
    panic::catch_unwind(AssertUnwindSafe(|| match pool() {
        Some(pool) if rayon::current_thread_index().is_some() => {
            block_worker(|| pool.install(compile))
        }
        Some(pool) => pool.install(compile),
        None => compile(),
    }))
    .map_err(|panic| EngineError::panicked(&*panic))
}

/// The pool, made when first needed. Its size is rayon's default: one thread per core, or as
/// `RAYON_NUM_THREADS` says.
fn pool() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    POOL.get_or_init(|| {
        ThreadPoolBuilder::new()
            .thread_name(|_| "module-cache-compile".to_owned())
            // As much as a main thread has, where compilation otherwise runs: a worker that waits for a
            // function of one module may take up another module on the same stack.
            .stack_size(8 * 1024 * 1024)
            .build()
            .ok()
    })
    .as_ref()
}

/// Runs `work` on a thread that is nobody's worker, since a worker takes up other work while it waits for
/// another pool.
fn block_worker<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    // Outside of the closure, to be still there if no thread could be started.
    let mut work = Some(work);
    let mut outcome = None;
    thread::scope(|scope| {
        let run = || outcome = work.take().map(|work| work());
        if let Ok(helper) = thread::Builder::new().spawn_scoped(scope, run) {
            helper
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic));
        }
    });
    outcome
        .or_else(|| work.map(|work| work()))
        .unwrap_or_else(|| unreachable!("the work ran on one thread or the other"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn work_runs_on_a_thread_of_the_pool_wherever_it_comes_from() {
        let on_which = || run(|| thread::current().name().map(str::to_owned)).unwrap();
        let expected = Some("module-cache-compile".to_owned());
        assert_eq!(on_which(), expected);
        assert_eq!(
            rayon::broadcast(|_| on_which()),
            vec![expected; rayon::current_num_threads()]
        );
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
