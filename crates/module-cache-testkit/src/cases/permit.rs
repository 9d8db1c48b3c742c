//! The contract of permits, which caches and stores share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use module_cache_core::permit::CompilePermit;

use crate::in_time::{PATIENCE, in_time};

/// Asks some handle for the permit of the key with this number: 0 and 1 are two modules, and 2 is the
/// first one for another engine id.
pub(super) type Ask = Arc<dyn Fn(usize) -> CompilePermit + Send + Sync>;

/// How long compiling takes, as far as the storage is told.
const EXPECTED: Duration = Duration::from_secs(1);

/// How many keys an [`Ask`] knows.
pub(super) const KEYS: usize = 3;

/// While `first` has a permit, `second` is told so at once and can wait for it, or where nothing is coordinated goes
/// on.
pub(super) fn exclusive_until_dropped(coordinated: bool, first: &Ask, second: &Ask) {
    let held = ask_in_time(first, 0);
    check_free(coordinated, &held);
    if !coordinated {
        check_free(coordinated, &ask_in_time(second, 0));
        return;
    }
    let wait = match ask_in_time(second, 0) {
        CompilePermit::Held(wait) => wait,
        permit => panic!("the permit was held, and the second to ask got {permit:?}"),
    };
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        wait.wait(EXPECTED);
        over.send(())
    });
    match is_over.recv_timeout(Duration::from_millis(100)) {
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => panic!("waiting for a permit panicked"),
        Ok(()) => panic!("the permit was held, and waiting for it ended"),
    }
    drop(held);
    if let Err(error) = is_over.recv_timeout(PATIENCE) {
        panic!("the permit was dropped, and waiting for it does not end: {error}");
    }
}

/// A permit can be had again and again; after a wait, where it is given back behind the caller.
pub(super) fn free_when_dropped(coordinated: bool, ask: &Ask) {
    for _ in 0..3 {
        let ask = ask.clone();
        let permit = in_time(move || match ask(0) {
            CompilePermit::Held(wait) => {
                wait.wait(EXPECTED);
                ask(0)
            }
            permit => permit,
        });
        check_free(coordinated, &permit);
    }
}

/// Permits of all keys can be held at once.
pub(super) fn independent(coordinated: bool, ask: &Ask) {
    let held: Vec<_> = (0..KEYS)
        .map(|key| {
            let permit = ask_in_time(ask, key);
            check_free(coordinated, &permit);
            permit
        })
        .collect();
    drop(held);
}

/// Of many threads that ask again until they get it, all get it, one at a time.
pub(super) fn one_at_a_time(coordinated: bool, ask: Ask) {
    const THREADS: usize = 4;
    const ROUNDS: usize = 8;
    in_time(move || {
        let inside = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let permit = loop {
                            match ask(0) {
                                CompilePermit::Held(wait) if coordinated => {
                                    wait.wait(EXPECTED);
                                }
                                permit => break permit,
                            }
                        };
                        check_free(coordinated, &permit);
                        if coordinated {
                            assert!(!inside.swap(true, Ordering::SeqCst), "two hold one permit");
                            thread::sleep(Duration::from_millis(1));
                            inside.store(false, Ordering::SeqCst);
                        }
                        drop(permit);
                    }
                });
            }
        });
    });
}

fn ask_in_time(ask: &Ask, key: usize) -> CompilePermit {
    let ask = ask.clone();
    in_time(move || ask(key))
}

/// Checks the answer to somebody who asked while nobody held the permit, or where that makes no difference.
#[track_caller]
fn check_free(coordinated: bool, permit: &CompilePermit) {
    match permit {
        CompilePermit::Exclusive(_) => {}
        CompilePermit::Uncoordinated if !coordinated => {}
        other => panic!("the permit was free, and the answer is {other:?}"),
    }
}
