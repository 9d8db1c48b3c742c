//! Threads that do the same thing at the same time.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

/// Threads that live as long as this, so that what is local to a thread stays.
pub struct ThreadGroup(Vec<Sender<Job>>);

type Job = Box<dyn FnOnce() + Send>;

impl ThreadGroup {
    /// So many threads, waiting for work.
    pub fn new(threads: usize) -> Self {
        let hire = |_| {
            let (jobs, work) = mpsc::channel::<Job>();
            thread::spawn(move || work.iter().for_each(|job| job()));
            jobs
        };
        Self((0..threads).map(hire).collect())
    }

    /// Does `work` on all threads, beginning together, and returns the mean of what they measured.
    ///
    /// # Panics
    ///
    /// When the work panics.
    pub fn time(&self, work: impl Fn() -> Duration + Send + Sync + 'static) -> Duration {
        let threads = u32::try_from(self.0.len()).expect("there are not that many threads");
        let work = Arc::new(work);
        let missing = Arc::new(AtomicUsize::new(self.0.len()));
        let (answer, answers) = mpsc::channel();
        for jobs in &self.0 {
            let (work, missing, answer) = (work.clone(), missing.clone(), answer.clone());
            let job = move || {
                // A thread that slept here would begin late, and be alone on the last stretch.
                missing.fetch_sub(1, Ordering::AcqRel);
                while missing.load(Ordering::Acquire) > 0 {
                    hint::spin_loop();
                }
                let took = work();
                answer.send(took).expect("the group waits for its answers");
            };
            jobs.send(Box::new(job))
                .expect("the thread panicked before");
        }
        drop(answer);
        let took: Vec<Duration> = answers.iter().collect();
        assert_eq!(took.len(), self.0.len(), "a thread panicked");
        took.iter().sum::<Duration>() / threads
    }
}
