//! Work on all cores without a thread pool.
//!
//! A cache must not use a global pool, such as rayon's: a thread that loads a module and joins work there may be handed
//! another load of the same module, and wait for itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// More threads than these wait for memory, and each has buffers of its own.
const MOST: usize = 16;

/// Does `work` on so many threads as there are cores, at most `most`, of which this is one. A thread that cannot be
/// started is done without: the ones that run take all there is.
///
/// # Errors
///
/// One of those that `work` returned.
pub(crate) fn on_all_cores(
    most: usize,
    work: &(dyn Fn() -> io::Result<()> + Sync),
) -> io::Result<()> {
    let threads = cores().min(most);
    if threads <= 1 {
        return work();
    }
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut outcome = work();
        for helper in helpers {
            let other = helper
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(other);
        }
        outcome
    })
}

/// What a worker of each thread makes of the numbers below `count`, in order. After an error no more are taken.
pub(crate) fn map<T: Send, W: FnMut(usize) -> io::Result<T>>(
    count: usize,
    worker: impl Fn() -> W + Sync,
) -> io::Result<Vec<T>> {
    if count <= 1 {
        return (0..count).map(worker()).collect();
    }
    let mut results = Vec::new();
    results.try_reserve_exact(count)?;
    results.resize_with(count, || None);
    let results = Mutex::new(results);
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    on_all_cores(count, &|| {
        let mut work = worker();
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                break;
            }
            let result = work(index).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
        }
        Ok(())
    })?;
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results.into_iter().flatten().collect())
}

/// Asked for once: the answer takes reading several files of the system.
fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| {
        thread::available_parallelism()
            .map_or(1, usize::from)
            .min(MOST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_an_error_ends_it() {
        let squares = map(1000, || |n| Ok(n * n)).unwrap();
        assert!(
            squares
                .iter()
                .enumerate()
                .all(|(n, square)| n * n == *square)
        );
        assert_eq!(squares.len(), 1000);
        let made = AtomicUsize::new(0);
        let failed = map(1_000_000, || {
            |n| {
                made.fetch_add(1, Ordering::Relaxed);
                if n == 10 {
                    Err(io::Error::other("bad sector"))
                } else {
                    Ok(())
                }
            }
        });
        assert_eq!(failed.unwrap_err().to_string(), "bad sector");
        assert!(made.into_inner() < 1_000_000);
    }
}
