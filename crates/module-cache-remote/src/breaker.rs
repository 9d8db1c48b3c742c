//! The circuit breaker: what keeps a storage that does not work from delaying everybody.
//!
//! The first failure opens it. While it is open nobody asks the storage; now and then somebody is told to
//! probe, in the background, and when that succeeds all go on. What a load pays for an outage is the one
//! operation that found it. Bad entries open it, too, for loads alone: saves replace them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const SHORTEST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// So many bad entries in a row, with no good answer between them, count as a failure: what answers is not
/// the storage, or is the storage no more.
const GARBAGE: u32 = 3;

#[derive(Debug)]
pub(crate) struct Breaker {
    /// What the state says, for the calls that find nothing wrong.
    open: AtomicBool,
    state: Mutex<State>,
    outages: AtomicU64,
    short_circuited: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// When to probe; `None` while the storage works.
    probe_at: Option<Instant>,
    probing: bool,
    /// How long to wait after the next failure.
    backoff: Duration,
    garbage: u32,
    /// Whether garbage opened it, and nothing failed since.
    is_garbage: bool,
}

/// The answer to "may I use the storage?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes: it works.
    Closed,
    /// No.
    Open,
    /// No, and the one who hears this is to see whether the storage works again.
    HalfOpen,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            open: AtomicBool::new(false),
            state: Mutex::new(State {
                probe_at: None,
                probing: false,
                backoff: SHORTEST_BACKOFF,
                garbage: 0,
                is_garbage: false,
            }),
            outages: AtomicU64::new(0),
            short_circuited: AtomicU64::new(0),
        }
    }

    pub(crate) fn admit(&self) -> Admission {
        if !self.is_open() {
            return Admission::Closed;
        }
        let mut state = self.state.lock();
        let Some(probe_at) = state.probe_at else {
            return Admission::Closed;
        };
        self.short_circuited.fetch_add(1, Ordering::Relaxed);
        if state.probing || Instant::now() < probe_at {
            return Admission::Open;
        }
        state.probing = true;
        Admission::HalfOpen
    }

    /// The storage did what it was asked.
    pub(crate) fn worked(&self) {
        let mut state = self.state.lock();
        state.garbage = 0;
        if state.probe_at.is_none() {
            state.backoff = SHORTEST_BACKOFF;
        }
    }

    /// The storage returned something that is no good entry. Says whether that opened the breaker.
    pub(crate) fn returned_garbage(&self) -> bool {
        let mut state = self.state.lock();
        state.garbage += 1;
        let opens = state.garbage >= GARBAGE && self.open_in(&mut state);
        state.is_garbage |= opens;
        opens
    }

    /// The storage did not work. Says whether that is news.
    pub(crate) fn failed(&self) -> bool {
        let mut state = self.state.lock();
        state.is_garbage = false;
        self.open_in(&mut state)
    }

    /// Whether it is open because of what the storage returned, and not because the storage did not work.
    pub(crate) fn is_open_for_garbage(&self) -> bool {
        self.is_open() && self.state.lock().is_garbage
    }

    /// A probe found that the storage works. The backoff stays long until something real worked: a server that answers a
    /// probe and nothing else is not asked every second.
    pub(crate) fn probed(&self) {
        let mut state = self.state.lock();
        state.probe_at = None;
        state.is_garbage = false;
        self.open.store(false, Ordering::Release);
    }

    /// A probe is over, whatever came of it.
    pub(crate) fn probe_ended(&self) {
        let mut state = self.state.lock();
        state.probing = false;
        if state.probe_at.is_some() {
            state.back_off();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// How often the storage was found not to work.
    pub(crate) fn outages(&self) -> u64 {
        self.outages.load(Ordering::Relaxed)
    }

    /// How many calls were answered without asking the storage.
    pub(crate) fn short_circuited(&self) -> u64 {
        self.short_circuited.load(Ordering::Relaxed)
    }

    fn open_in(&self, state: &mut State) -> bool {
        if state.probe_at.is_some() {
            return false;
        }
        state.garbage = 0;
        state.back_off();
        self.outages.fetch_add(1, Ordering::Relaxed);
        self.open.store(true, Ordering::Release);
        true
    }
}

impl State {
    fn back_off(&mut self) {
        self.probe_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(LONGEST_BACKOFF);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A breaker whose backoff is over.
    fn rested() -> Breaker {
        let breaker = Breaker::new();
        assert!(breaker.failed());
        breaker.state.lock().probe_at = Some(Instant::now());
        breaker
    }

    #[test]
    fn the_first_failure_opens_it_and_is_the_only_news() {
        let breaker = Breaker::new();
        assert_eq!(breaker.admit(), Admission::Closed);
        assert!(breaker.failed());
        assert!(!breaker.failed());
        assert_eq!(breaker.admit(), Admission::Open);
        assert_eq!((breaker.outages(), breaker.short_circuited()), (1, 1));
    }

    #[test]
    fn after_a_rest_one_is_told_to_probe() {
        let breaker = rested();
        assert_eq!(breaker.admit(), Admission::HalfOpen);
        assert_eq!(breaker.admit(), Admission::Open);
        breaker.probed();
        breaker.probe_ended();
        assert_eq!(breaker.admit(), Admission::Closed);
    }

    #[test]
    fn the_rest_grows_until_something_worked() {
        let breaker = rested();
        assert_eq!(breaker.admit(), Admission::HalfOpen);
        breaker.probe_ended();
        assert_eq!(breaker.admit(), Admission::Open);
        assert_eq!(breaker.state.lock().backoff, 4 * SHORTEST_BACKOFF);
        breaker.probed();
        breaker.probe_ended();
        assert_eq!(breaker.state.lock().backoff, 4 * SHORTEST_BACKOFF);
        breaker.worked();
        assert_eq!(breaker.state.lock().backoff, SHORTEST_BACKOFF);
        for _ in 0..20 {
            breaker.failed();
            breaker.probed();
            breaker.probe_ended();
        }
        assert_eq!(breaker.state.lock().backoff, LONGEST_BACKOFF);
    }

    #[test]
    fn garbage_opens_it_when_there_is_nothing_else() {
        let breaker = Breaker::new();
        for _ in 0..10 {
            assert!(!breaker.returned_garbage());
            assert!(!breaker.returned_garbage());
            breaker.worked();
        }
        assert!(!breaker.returned_garbage());
        assert!(!breaker.returned_garbage());
        assert!(breaker.returned_garbage());
        assert_eq!(breaker.admit(), Admission::Open);
        assert!(breaker.is_open_for_garbage());
        assert!(!breaker.failed());
        assert!(!breaker.is_open_for_garbage() && breaker.is_open());
    }
}
