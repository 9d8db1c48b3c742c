//! The one thread that talks to all remote storages of the process.
//!
//! Caches are synchronous, and clients of storages are not. A runtime of each cache's own would cost threads,
//! and blocking on the caller's runtime panics; so the work is sent to this thread and waited for, which can
//! be done from any thread, inside of an async runtime or not.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::process;
use std::sync::mpsc;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Wake};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use crate::failure::Failure;

/// Does `work` on the shared thread and waits for it, at most `limit`; then it is dropped where it stands.
pub(crate) fn run<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    run_unlimited(in_time(limit, work))
}

/// The same for work that limits itself.
pub(crate) fn run_unlimited<T: Send + 'static>(
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = mpsc::sync_channel(1);
    spawn(async move { drop(answer.send(work.await)) })?;
    // The sender is gone without an answer when the work panicked.
    answered.recv().unwrap_or(Err(Failure::NoThread))
}

/// Waits here for what is done elsewhere, on whatever thread this is.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(thread::current())).into();
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}

/// Starts `work` on the shared thread.
pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
    #[cfg(feature = "simulation")]
    if SIMULATED.get() {
        tokio::spawn(work);
        return Ok(());
    }
    match &*THREAD {
        // A forked child has the handle and not the thread.
        Ok(thread) if thread.process == process::id() => {
            thread.runtime.spawn(work);
            Ok(())
        }
        _ => Err(Failure::NoThread),
    }
}

/// Does what takes long without waiting on the shared thread.
pub(crate) async fn compute<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    #[cfg(feature = "simulation")]
    if SIMULATED.get() {
        return Ok(work());
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Failure::NoThread)
}

/// `work`, or a failure when it is not done after `limit`.
pub(crate) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(Failure::TimedOut(limit)))
}

#[cfg(feature = "simulation")]
thread_local! {
    static SIMULATED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// From now on, what this thread's caches would do on the shared thread is a task of its own runtime.
#[cfg(feature = "simulation")]
pub fn simulate_on_this_thread() {
    SIMULATED.set(true);
}

static THREAD: LazyLock<io::Result<IoThread>> = LazyLock::new(IoThread::start);

struct IoThread {
    runtime: Handle,
    process: u32,
}

impl IoThread {
    fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("module-cache-io".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Self {
            runtime: handle,
            process: process::id(),
        })
    }
}
