//! The thread that ticks an engine's epoch, so that its stores look at the clock.

use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How long a call may run on after its deadline.
const TICK: Duration = Duration::from_millis(10);

/// Ticks for as long as the engine is there.
pub(crate) fn start(engine: &Engine) {
    let engine = engine.weak();
    thread::spawn(move || {
        while engine.upgrade().inspect(Engine::increment_epoch).is_some() {
            thread::sleep(TICK);
        }
    });
}
