//! Makes calls wait until the test releases them.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::in_time::PATIENCE;

/// Calls wait until this is dropped. Created by [`Observed::hold`](crate::Observed::hold) and
/// [`TestEngine::hold_compiles`](crate::TestEngine::hold_compiles).
#[derive(Debug)]
#[must_use = "calls go on when it is dropped"]
pub struct Hold(Arc<Gate>);

impl Hold {
    /// Blocks until this many calls wait here.
    ///
    /// # Panics
    ///
    /// If they do not arrive within 20 seconds.
    #[track_caller]
    pub fn wait_for(&self, calls: usize) {
        let mut state = self.0.state.lock();
        let late = self
            .0
            .changed
            .wait_while_for(&mut state, |state| state.waiting < calls, PATIENCE)
            .timed_out();
        assert!(
            !late,
            "{} of {calls} calls came within {PATIENCE:?}",
            state.waiting
        );
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state.lock().holds -= 1;
        self.0.changed.notify_all();
    }
}

/// Where calls pass, or wait.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    holds: usize,
    waiting: usize,
}

impl Gate {
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.state.lock().holds += 1;
        Hold(self.clone())
    }

    pub(crate) fn pass(&self) {
        let mut state = self.state.lock();
        if state.holds > 0 {
            state.waiting += 1;
            self.changed.notify_all();
            self.changed.wait_while(&mut state, |state| state.holds > 0);
            state.waiting -= 1;
        }
    }
}
