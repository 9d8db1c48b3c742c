//! Waits with a time limit: a cache that hangs fails its case instead of stopping the test run.

use std::panic;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// The time limit. It is generous, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` on a thread of its own and returns its result, or panics with its panic.
///
/// # Panics
///
/// If that takes longer than [`PATIENCE`]; the thread is left behind then.
#[track_caller]
pub(crate) fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    within(PATIENCE, work)
}

#[track_caller]
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (answer, answered) = mpsc::channel();
    let thread = thread::spawn(move || drop(answer.send(work())));
    match answered.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("not done within {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panicked) => panic::resume_unwind(panicked),
            Ok(()) => unreachable!("a thread that ends well has answered"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_is_done_gives_its_result() {
        assert_eq!(in_time(|| 7), 7);
    }

    #[test]
    #[should_panic(expected = "the cause")]
    fn work_that_panics_panics_here() {
        in_time(|| panic!("the cause"));
    }

    #[test]
    #[should_panic(expected = "not done within 10ms")]
    fn work_that_hangs_panics_here() {
        within(Duration::from_millis(10), || {
            thread::sleep(Duration::from_secs(2));
        });
    }
}
