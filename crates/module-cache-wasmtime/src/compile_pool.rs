//! Where compilation runs: a rayon pool of this crate's own.
//!
//! wasmtime compiles the functions of a module with rayon, in the pool that the calling thread belongs to,
//! or in the global one. That would tie a cache to strangers. If all workers of the global pool wait for
//! one module, nobody is left to compile it. And a worker that waits for its compilation takes other work
//! meanwhile, which may be another load of the same module: it would then wait for itself.
//!
//! # Surplus workers
//!
//! The pool has more workers than threads: of every [`WORKERS_PER_THREAD`] workers, only one is started.
//! rayon derives from the number of workers how finely it divides a parallel iterator, and it divides an
//! iterator that starts inside the pool more coarsely than one that comes from outside.
//!
//! The cause is rayon's adaptive splitter. It gives an iterator as many splits as the pool has workers, and
//! halves that number whenever it halves the iterator. A half that another thread steals gets the full
//! number again, and so do both first halves of an iterator that was injected from outside, since rayon
//! reports these as migrated. With two threads, wasmtime alone therefore compiles pieces of at most a
//! sixteenth of the functions. Started by a worker, the same iterator is cut into quarters, apart from what
//! is stolen. A thread cannot steal part of a piece, so at the end of each phase of a compilation one thread
//! waited while the other finished its quarter.
//!
//! With four workers per thread the pieces are as small as those of wasmtime alone. Sixteen leave a margin
//! for functions that take long to compile, which can make any piece the last one (`cargo bench --package
//! module-cache-bench --features engines --bench compile` measures what remains). A worker that was not
//! started costs an empty queue, which idle threads look into before they sleep.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::{OnceLock, mpsc};
use std::thread;

use module_cache_core::EngineError;
use rayon::{ThreadBuilder, ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// How many workers rayon is told of for each thread that runs.
const WORKERS_PER_THREAD: usize = 16;

/// As `nice` adds it for background work.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

/// Runs `compile` on a thread of the pool, blocking without doing anything else until it is done.
///
/// Where no thread can be started it runs in place: slowly is better than not at all. In a forked child, which has the pool and
/// not its threads, it runs in a pool of its own.
///
/// # Errors
///
/// When `compile` panics.
pub(crate) fn run<T: Send>(compile: impl FnOnce() -> T + Send) -> Result<T, EngineError> {
    Urgency::Awaited.run(compile)
}

/// Runs what takes microseconds on the calling thread, and starts no thread for it: the thread is the one worker of a pool
/// that ends with the work.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn run_here<T: Send + 'static>(
    compile: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    if rayon::current_thread_index().is_some() {
        // A thread is a worker of one pool.
        return run(compile);
    }
    let mut this = None;
    let pool = ThreadPoolBuilder::new()
        .num_threads(1)
        .spawn_handler(|worker| {
            this = Some(worker);
            Ok(())
        })
        .build();
    let (Ok(pool), Some(this)) = (pool, this) else {
        return run(compile);
    };
    let (send, receive) = mpsc::sync_channel(1);
    pool.spawn(move || {
        let _ = send.send(panic::catch_unwind(AssertUnwindSafe(compile)));
    });
    // It ends when what was spawned is done.
    drop(pool);
    this.run();
    let outcome = receive.recv();
    outcome
        .unwrap_or_else(|_| unreachable!("the worker ends after the work"))
        .map_err(|panic| EngineError::panicked(&*panic))
}

/// Who waits for a compilation. Each kind has a pool: in one, what somebody waits for would come after all that idle workers
/// can take from one another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Urgency {
    Awaited,
    /// Something else is used meanwhile. On Linux, its threads run when no others would, and a tenth of the time beside others.
    Behind,
}

impl Urgency {
    /// As [`run`].
    pub(crate) fn run<T: Send>(self, compile: impl FnOnce() -> T + Send) -> Result<T, EngineError> {
        self.run_in_pool(compile)
            .map_err(|panic| EngineError::panicked(&*panic))
    }

    fn run_in_pool<T: Send>(self, compile: impl FnOnce() -> T + Send) -> thread::Result<T> {
        // A panic leaves nothing behind that is looked at again: the arguments are shared references, and
        // wasmtime drops what it was making.
        panic::catch_unwind(AssertUnwindSafe(|| {
            let forked;
            let pool = match self.pool() {
                Pool::Here(pool) => pool,
                Pool::OfTheParent => {
                    forked = self.build().ok();
                    forked.as_ref()
                }
            };
            match pool {
                Some(pool) if rayon::current_thread_index().is_some() => {
                    block_worker(|| pool.install(compile))
                }
                Some(pool) => pool.install(compile),
                None => compile(),
            }
        }))
    }

    /// The pool, made when first needed. It has rayon's default number of threads: one per core, or as
    /// `RAYON_NUM_THREADS` says.
    fn pool(self) -> Pool {
        static POOLS: [OnceLock<(u32, Option<ThreadPool>)>; 2] = [const { OnceLock::new() }; 2];
        let (of, pool) = POOLS[self as usize].get_or_init(|| (process::id(), self.build().ok()));
        if *of == process::id() {
            Pool::Here(pool.as_ref())
        } else {
            Pool::OfTheParent
        }
    }

    fn build(self) -> Result<ThreadPool, ThreadPoolBuildError> {
        let threads = default_threads()?;
        ThreadPoolBuilder::new()
            .num_threads(threads * WORKERS_PER_THREAD)
            .spawn_handler(|worker| {
                if worker.index() < threads {
                    self.start(worker)?;
                }
                // To rayon, a worker that never started is busy: it is given no work and is not woken.
                Ok(())
            })
            .build()
    }

    fn start(self, worker: ThreadBuilder) -> io::Result<()> {
        thread::Builder::new()
            .name("module-cache-compile".to_owned())
            // As much as a main thread has, where compilation otherwise runs: a worker that waits for a
            // function of one module may take up another module on the same stack.
            .stack_size(8 * 1024 * 1024)
            .spawn(move || {
                #[cfg(target_os = "linux")]
                if let Self::Behind = self {
                    // Of this thread alone. Where it is not allowed, they compete.
                    let _ = rustix::process::nice(NICENESS);
                }
                worker.run();
            })?;
        Ok(())
    }
}

enum Pool {
    Here(Option<&'static ThreadPool>),
    OfTheParent,
}

/// How many threads rayon starts in a pool by default. Only a pool tells, so this makes one without threads.
fn default_threads() -> Result<usize, ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new().spawn_handler(|_| Ok(())).build()?;
    Ok(pool.current_num_threads())
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
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use rayon::iter::{IntoParallelIterator, ParallelIterator};

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

    #[cfg(target_os = "linux")]
    #[test]
    fn what_nobody_waits_for_runs_on_threads_of_its_own_that_give_way() {
        let on = |urgency: Urgency| {
            let thread = || {
                let niceness = rustix::process::getpriority_process(None).unwrap();
                (thread::current().id(), niceness)
            };
            urgency.run(thread).unwrap()
        };
        let (awaited, behind) = (on(Urgency::Awaited), on(Urgency::Behind));
        assert_ne!(awaited.0, behind.0);
        assert_eq!(behind.1, (awaited.1 + NICENESS).min(19));
        assert_eq!(
            awaited.1,
            rustix::process::getpriority_process(None).unwrap()
        );
    }

    #[test]
    fn what_takes_microseconds_runs_on_the_calling_thread() {
        let ids = || run_here(|| rayon::join(|| thread::current().id(), || thread::current().id()));
        let this = thread::current().id();
        for _ in 0..2 {
            assert_eq!(ids().unwrap(), (this, this));
        }
        // It is nobody's worker afterwards, and other pools' workers hand it on.
        assert_eq!(rayon::current_thread_index(), None);
        let (one, other) = rayon::scope(|_| ids().unwrap());
        assert!(one != this && other != this);
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let in_place = || run(|| panic!("out of registers")).unwrap_err();
        let here = || run_here(|| panic!("out of registers")).unwrap_err();
        for error in [
            in_place(),
            rayon::scope(|_| in_place()),
            here(),
            rayon::scope(|_| here()),
        ] {
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

    #[test]
    fn a_thread_never_holds_more_than_a_small_piece_of_a_parallel_iterator() {
        let most = 10;
        let items = most * WORKERS_PER_THREAD * default_threads().unwrap();
        // rayon folds each piece that it does not divide any further into one value.
        let longest = run(|| {
            let pieces = (0..items)
                .into_par_iter()
                .fold(|| 0, |length, _| length + 1);
            pieces.max().unwrap()
        });
        assert!(longest.unwrap() <= most);
    }

    #[test]
    fn as_many_threads_work_as_rayon_starts_by_default() {
        let threads = rayon::current_num_threads();
        let seen = Mutex::new(HashSet::new());
        let deadline = Instant::now() + Duration::from_secs(10);
        let work = || {
            seen.lock().unwrap().insert(thread::current().id());
            // Leaves work to every other thread.
            while seen.lock().unwrap().len() < threads && Instant::now() < deadline {
                thread::yield_now();
            }
        };
        run(|| (0..1000).into_par_iter().for_each(|_| work())).unwrap();
        assert_eq!(seen.lock().unwrap().len(), threads);
    }
}
