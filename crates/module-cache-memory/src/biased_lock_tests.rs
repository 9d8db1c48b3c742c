//! Whether the biased lock does what it promises, with real threads.

#![expect(unsafe_code, reason = "a value is read twice in one look")]

use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::biased_lock::BiasedLock;
use crate::sync::Slot;

/// Two halves that a reader must never see apart.
#[derive(Default)]
struct Halves([u64; 2]);

impl Halves {
    fn change(&mut self) {
        self.0[0] += 1;
        linger();
        self.0[1] += 1;
    }

    fn check(&self) -> u64 {
        // SAFETY: a reference is valid for reads. Volatile, so that there are two of them.
        let read = |half: &u64| unsafe { std::ptr::read_volatile(half) };
        let one = read(&self.0[0]);
        linger();
        assert_eq!(read(&self.0[1]), one);
        one
    }
}

/// Gives others the time to do what they must not.
fn linger() {
    for _ in 0..20 {
        hint::spin_loop();
    }
}

/// Readers and writers at once; `slot` says which slot a reader takes.
fn hammer(lock: &BiasedLock<Halves>, slot: [fn() -> Slot; 2], changes: u64) {
    let done = AtomicBool::new(false);
    let looks = AtomicU64::new(0);
    thread::scope(|scope| {
        for slot in slot {
            let (done, looks) = (&done, &looks);
            scope.spawn(move || {
                let mut newest = 0;
                while !done.load(Ordering::Relaxed) {
                    let seen = lock.read(slot(), Halves::check);
                    assert!(seen >= newest, "time went back");
                    newest = seen;
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..changes {
                        lock.write(Halves::change);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(lock.read(Slot::current(), Halves::check), 2 * changes);
    assert!(looks.into_inner() > 0);
}

#[test]
fn nobody_sees_half_a_change() {
    hammer(
        &BiasedLock::new(Halves::default()),
        [Slot::current; 2],
        20_000,
    );
}

#[test]
fn nobody_sees_half_a_change_where_a_reader_has_no_slot_of_its_own() {
    let slots = [Slot::current, Slot::shared];
    hammer(&BiasedLock::new(Halves::default()), slots, 20_000);
}

#[test]
fn without_fences_it_is_an_ordinary_lock() {
    let lock = BiasedLock::new(Halves::default());
    lock.revoke_for_good();
    hammer(&lock, [Slot::current; 2], 20_000);
    assert!(lock.is_revoked(), "a change gave back what never was");
}

/// A sandbox may take the system call away at any time. What is left is an ordinary lock, in which nobody waits for
/// more than the others.
#[cfg(target_os = "linux")]
#[test]
fn after_a_fence_that_failed_the_bias_stays_revoked_for_locks_made_later_too() {
    const CHILD: &str = "MODULE_CACHE_TEST_WITHOUT_FENCES";
    if std::env::var_os(CHILD).is_none() {
        // In a process of its own, as no other lock of it is ever biased again.
        let name = "biased_lock_tests::after_a_fence_that_failed_the_bias_stays_revoked_for_locks_made_later_too";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        return;
    }
    let lock = BiasedLock::new(Halves::default());
    lock.write(Halves::change);
    assert!(!lock.is_revoked());
    take_membarrier_away();
    lock.write(Halves::change);
    assert!(lock.is_revoked());
    let later = BiasedLock::new(Halves::default());
    assert!(later.is_revoked());
    hammer(&later, [Slot::current; 2], 1_000);
}

#[cfg(target_os = "linux")]
fn take_membarrier_away() {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

    let denied = [(libc::SYS_membarrier, Vec::new())].into();
    let filter = SeccompFilter::new(
        denied,
        SeccompAction::Allow,
        SeccompAction::Errno(1),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    apply_filter(&program).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_change_that_waits_for_a_look_leaves_the_core_to_others() {
    use rustix::time::{ClockId, clock_gettime};

    let lock = BiasedLock::new(0);
    let (looking, looks) = mpsc::channel();
    let lock = &lock;
    let spent = thread::scope(|scope| {
        scope.spawn(move || {
            lock.read(Slot::current(), |_| {
                looking.send(()).unwrap();
                // As if it were preempted.
                thread::sleep(Duration::from_millis(500));
            });
        });
        looks.recv().unwrap();
        lock.write(|value| *value = 1);
        clock_gettime(ClockId::ThreadCPUTime)
    });
    // Of this thread, which has done nothing else.
    assert!(
        spent.tv_sec == 0 && spent.tv_nsec < 250_000_000,
        "{spent:?}"
    );
}

#[test]
fn those_who_look_meanwhile_do_not_wait_with_a_change_that_waits() {
    let lock = BiasedLock::new(0);
    let (looking, looks) = mpsc::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let lock = &lock;
    thread::scope(|scope| {
        scope.spawn(move || {
            lock.read(Slot::current(), |_| {
                looking.send(()).unwrap();
                told.recv().unwrap();
            });
        });
        looks.recv().unwrap();
        let change = scope.spawn(|| lock.write(|value| *value = 1));
        while !lock.is_revoked() {
            thread::yield_now();
        }
        // They would hang.
        for _ in 0..100 {
            assert_eq!(lock.read(Slot::current(), |value| *value), 0);
        }
        assert!(!change.is_finished());
        go_on.send(()).unwrap();
    });
}

#[test]
fn a_change_waits_for_a_look() {
    let lock = BiasedLock::new(0);
    let (looking, looks) = mpsc::channel();
    let (go_on, told) = mpsc::channel::<()>();
    let (changed, changes) = mpsc::channel();
    let lock = &lock;
    thread::scope(|scope| {
        scope.spawn(move || {
            lock.read(Slot::current(), |value| {
                looking.send(()).unwrap();
                told.recv().unwrap();
                assert_eq!(*value, 0);
            });
        });
        looks.recv().unwrap();
        scope.spawn(move || {
            lock.write(|value| *value = 1);
            changed.send(()).unwrap();
        });
        let early = changes.recv_timeout(Duration::from_millis(100));
        go_on.send(()).unwrap();
        assert!(early.is_err());
        changes.recv().unwrap();
    });
    assert_eq!(lock.read(Slot::current(), |value| *value), 1);
}

#[test]
fn a_look_within_a_look_does_not_end_it() {
    let lock = BiasedLock::new(0);
    let slot = Slot::current();
    lock.read(slot, |_| {
        lock.read(slot, |value| assert_eq!(*value, 0));
        assert!(lock.has_reader(slot.exclusive().unwrap()));
    });
}

#[test]
fn a_look_or_a_change_that_panics_leaves_the_lock_usable() {
    let lock = BiasedLock::new(0);
    let slot = Slot::current();
    let look = || lock.read(slot, |_| panic!("in a look"));
    catch_unwind(AssertUnwindSafe(look)).unwrap_err();
    let change = || lock.write(|_| panic!("in a change"));
    catch_unwind(AssertUnwindSafe(change)).unwrap_err();
    lock.write(|value| *value = 1);
    assert_eq!(lock.read(slot, |value| *value), 1);
    assert!(!lock.is_revoked());
}
