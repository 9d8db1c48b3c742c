//! A memory fence in two halves: one that costs nothing, for what is done all the time, and one that
//! makes up for it, for what is done seldom.
//!
//! Of two threads that each write, fence and then read what the other wrote, at least one sees the other's
//! write, if one of the two fences was heavy. On Linux the heavy half is the system call `membarrier`, which
//! has every core that runs this process execute a fence. The idea is that of userspace RCU; folly and seize
//! do the same, and P1202 proposes it for C++.

cfg_if::cfg_if! {
    if #[cfg(all(target_os = "linux", not(miri)))] {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
        use std::thread;
        use std::time::Duration;

        use rustix::thread::{MembarrierCommand, membarrier};

        /// Set when the heavy half failed: a sandbox was put on that does not allow it.
        static FAILED: AtomicBool = AtomicBool::new(false);

        /// Whether this process may use the heavy half; if not, the light one is none.
        pub(crate) fn available() -> bool {
            static REGISTERED: OnceLock<bool> = OnceLock::new();
            let register = || membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok();
            *REGISTERED.get_or_init(register) && !FAILED.load(Ordering::Relaxed)
        }

        /// The half that only keeps the compiler from reordering.
        #[inline]
        pub(crate) fn light() {
            compiler_fence(Ordering::SeqCst);
        }

        /// The half that is a fence in every thread of the process. Says whether it can be used again.
        pub(crate) fn heavy() -> bool {
            let done = membarrier(MembarrierCommand::PrivateExpedited).is_ok();
            if !done {
                FAILED.store(true, Ordering::Relaxed);
                // No store waits in any core's buffer for that long.
                thread::sleep(Duration::from_millis(10));
            }
            done
        }
    } else {
        use std::sync::atomic::{Ordering, fence};

        /// Whether this process may use the two halves.
        pub(crate) fn available() -> bool {
            true
        }

        /// An ordinary fence: there is no way to make others execute one.
        #[inline]
        pub(crate) fn light() {
            fence(Ordering::SeqCst);
        }

        /// An ordinary fence.
        pub(crate) fn heavy() -> bool {
            fence(Ordering::SeqCst);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
    use std::thread;

    use super::*;
    use crossbeam_utils::CachePadded;

    /// The litmus test of store buffering. Without the heavy half, both sides miss the other's write in
    /// some of these rounds, on x86-64 too.
    #[test]
    fn of_two_sides_that_write_and_read_at_least_one_sees_the_other() {
        const ROUNDS: u32 = 20_000;
        let (frequent, seldom) = <(CachePadded<AtomicBool>, CachePadded<AtomicBool>)>::default();
        let (begun, ended) = <(CachePadded<AtomicU32>, CachePadded<AtomicU32>)>::default();
        let saw_seldom = AtomicBool::new(false);
        assert!(available());
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    wait_for(&begun, round);
                    frequent.store(true, Ordering::Relaxed);
                    light();
                    let saw = seldom.load(Ordering::Relaxed);
                    saw_seldom.store(saw, Ordering::Relaxed);
                    ended.store(round, Ordering::Release);
                }
            });
            let mut missed = 0;
            for round in 1..=ROUNDS {
                frequent.store(false, Ordering::Relaxed);
                seldom.store(false, Ordering::Relaxed);
                begun.store(round, Ordering::Release);
                // So that the two sides meet in different ways.
                for _ in 0..round % 50 {
                    hint::spin_loop();
                }
                seldom.store(true, Ordering::Relaxed);
                assert!(heavy());
                let saw_frequent = frequent.load(Ordering::Relaxed);
                wait_for(&ended, round);
                missed += u32::from(!saw_frequent && !saw_seldom.load(Ordering::Relaxed));
            }
            assert_eq!(missed, 0);
        });
    }

    fn wait_for(count: &AtomicU32, value: u32) {
        for spins in 1_u32.. {
            if count.load(Ordering::Acquire) == value {
                break;
            }
            if spins % 10_000 == 0 {
                thread::yield_now();
            }
            hint::spin_loop();
        }
    }
}
