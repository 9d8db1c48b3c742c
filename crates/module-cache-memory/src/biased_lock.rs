//! A reader-writer lock that is biased toward its readers: without a writer about, a reader executes no
//! locked instruction, and writes to no cache line that another thread uses.
//!
//! A reader raises a flag of its own and looks whether the bias is revoked. A writer revokes the bias, and
//! waits for the flags that are up. Readers that find it revoked take an ordinary lock, and so do those
//! that have no flag. This is BRAVO (Dice and Kogan, *BRAVO: Biased Locking for Reader-Writer Locks*, USENIX
//! ATC 2019) with a flag for each thread instead of a table of readers, and with an asymmetric fence in place
//! of an atomic exchange.

#![expect(unsafe_code, reason = "readers look past the ordinary lock")]

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::RwLock;

use crate::asymmetric_fence;
use crate::padded::Padded;
use crate::thread_lane::{EXCLUSIVE_LANES, Lane};

/// A value that is read all the time and seldom changed.
#[derive(Debug)]
pub(crate) struct BiasedLock<T> {
    /// By lane: whether its thread reads past the lock.
    readers: [Padded<AtomicBool>; EXCLUSIVE_LANES],
    /// Set while a writer is about, or for ever where fences are not available.
    revoked: AtomicBool,
    value: RwLock<T>,
}

impl<T> BiasedLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self {
            readers: std::array::from_fn(|_| Padded::default()),
            revoked: AtomicBool::new(!asymmetric_fence::available()),
            value: RwLock::new(value),
        }
    }

    /// Looks at the value. `look` must not use the lock again.
    #[inline]
    pub(crate) fn read<R>(&self, lane: Lane, look: impl FnOnce(&T) -> R) -> R {
        let flag = lane.exclusive().map(|lane| &*self.readers[lane]);
        if let Some(_raised) = flag.and_then(|flag| Raised::unless(&self.revoked, flag)) {
            // SAFETY: `data_ptr` is the lock's own value, which lives as long as `self`. It is changed in
            // `write` alone, which holds the lock against others like it, and has revoked the bias and seen
            // every flag down since. This flag is up, and the bias was not revoked after it was raised. By
            // the fences between, the writer would see the flag: it waits until `_raised` is dropped, after
            // `look`, whose result cannot borrow from the value. Nobody else lowers the flag: a lane has one
            // thread, and that has found the flag down before it raised it.
            return look(unsafe { &*self.value.data_ptr() });
        }
        look(&self.value.read())
    }

    /// Changes the value, with nobody looking. `change` must not use the lock again.
    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.value.write();
        let revoked = Revoked::new(&self.revoked);
        // Where it was revoked for good, no flag is ever up, and there is no fence to be had.
        if !revoked.before {
            asymmetric_fence::heavy();
            for reader in &self.readers {
                wait_while_raised(reader);
            }
        }
        change(&mut value)
    }
}

/// A reader's flag, up until this is dropped.
struct Raised<'a>(&'a AtomicBool);

impl<'a> Raised<'a> {
    /// Raises the flag, unless the bias is revoked, or the flag is up for a look further down the stack.
    #[inline]
    fn unless(revoked: &AtomicBool, flag: &'a AtomicBool) -> Option<Self> {
        if flag.load(Ordering::Relaxed) {
            return None;
        }
        flag.store(true, Ordering::Relaxed);
        let raised = Self(flag);
        asymmetric_fence::light();
        // Acquire: sees what the last writer wrote before it gave the bias back.
        (!revoked.load(Ordering::Acquire)).then_some(raised)
    }
}

impl Drop for Raised<'_> {
    #[inline]
    fn drop(&mut self) {
        // Release: the look is over for whoever sees this.
        self.0.store(false, Ordering::Release);
    }
}

/// The bias, revoked until this is dropped.
struct Revoked<'a> {
    flag: &'a AtomicBool,
    before: bool,
}

impl<'a> Revoked<'a> {
    fn new(flag: &'a AtomicBool) -> Self {
        let before = flag.swap(true, Ordering::Relaxed);
        Self { flag, before }
    }
}

impl Drop for Revoked<'_> {
    fn drop(&mut self) {
        self.flag.store(self.before, Ordering::Release);
    }
}

/// A look takes nanoseconds, unless its thread is not running.
fn wait_while_raised(flag: &AtomicBool) {
    for round in 0_u32.. {
        if !flag.load(Ordering::Acquire) {
            break;
        }
        if round < 100 {
            hint::spin_loop();
        } else {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicU64;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

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

    /// Readers and writers at once; `lane` says which lane a reader takes.
    fn hammer(lock: &BiasedLock<Halves>, lane: [fn() -> Lane; 2], changes: u64) {
        let done = AtomicBool::new(false);
        let looks = AtomicU64::new(0);
        thread::scope(|scope| {
            for lane in lane {
                let (done, looks) = (&done, &looks);
                scope.spawn(move || {
                    let mut newest = 0;
                    while !done.load(Ordering::Relaxed) {
                        let seen = lock.read(lane(), Halves::check);
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
        assert_eq!(lock.read(Lane::current(), Halves::check), 2 * changes);
        assert!(looks.into_inner() > 0);
    }

    #[test]
    fn nobody_sees_half_a_change() {
        hammer(
            &BiasedLock::new(Halves::default()),
            [Lane::current; 2],
            20_000,
        );
    }

    #[test]
    fn nobody_sees_half_a_change_where_a_reader_has_no_lane_of_its_own() {
        let lanes = [Lane::current, Lane::shared];
        hammer(&BiasedLock::new(Halves::default()), lanes, 20_000);
    }

    #[test]
    fn without_fences_it_is_an_ordinary_lock() {
        let lock = BiasedLock {
            revoked: AtomicBool::new(true),
            ..BiasedLock::new(Halves::default())
        };
        hammer(&lock, [Lane::current; 2], 20_000);
        assert!(
            lock.revoked.into_inner(),
            "a change gave back what never was"
        );
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
                lock.read(Lane::current(), |value| {
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
        assert_eq!(lock.read(Lane::current(), |value| *value), 1);
    }

    #[test]
    fn a_look_within_a_look_does_not_end_it() {
        let lock = BiasedLock::new(0);
        let lane = Lane::current();
        lock.read(lane, |_| {
            lock.read(lane, |value| assert_eq!(*value, 0));
            let mine = &lock.readers[lane.exclusive().unwrap()];
            assert!(mine.load(Ordering::Relaxed));
        });
    }

    #[test]
    fn a_look_or_a_change_that_panics_leaves_the_lock_usable() {
        let lock = BiasedLock::new(0);
        let lane = Lane::current();
        let look = || lock.read(lane, |_| panic!("in a look"));
        catch_unwind(AssertUnwindSafe(look)).unwrap_err();
        let change = || lock.write(|_| panic!("in a change"));
        catch_unwind(AssertUnwindSafe(change)).unwrap_err();
        lock.write(|value| *value = 1);
        assert_eq!(lock.read(lane, |value| *value), 1);
        assert!(!lock.revoked.into_inner());
    }
}
