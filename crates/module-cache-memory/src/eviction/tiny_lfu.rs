//! W-TinyLFU (Einziger, Friedman and Manes, *`TinyLFU`: A Highly Efficient Cache Admission Policy*, ACM
//! Transactions on Storage, 2017): what is asked for most often stays.
//!
//! Whoever comes is put into a small window. What falls out of the window is let into the main part only if
//! it was asked for more often than what must leave for it. Counts are exact here, and not in a sketch: the
//! cache remembers far fewer modules than a sketch is made for.

use super::counts::Counts;
use super::list::{List, Slot};
use super::shadow::Policy;

/// The modules that are asked for most often, and a few of those that came last.
#[derive(Debug)]
pub(super) struct TinyLfu {
    room: u64,
    /// Least recently used first, like the main part.
    window: List,
    main: List,
    counts: Counts,
}

/// One part in so many is for the window.
const WINDOW: u64 = 100;

impl TinyLfu {
    pub(super) fn new(room: u64) -> Self {
        Self {
            room,
            window: List::default(),
            main: List::default(),
            counts: Counts::default(),
        }
    }

    fn fits(&self, weight: u64) -> bool {
        self.window.weight() + self.main.weight() + u128::from(weight) <= u128::from(self.room)
    }

    fn trim(&mut self, mut drop: impl FnMut(Slot)) {
        // The newest stays, however heavy it is.
        while self.window.len() > 1 && self.window.weight() > u128::from(self.room / WINDOW) {
            self.move_on(&mut drop);
        }
        while !self.fits(0)
            && let Some(oldest) = self.main.oldest().or(self.window.oldest())
        {
            self.remove(oldest);
            drop(oldest);
        }
    }

    /// Takes the window's oldest into the main part, or drops it.
    fn move_on(&mut self, drop: &mut impl FnMut(Slot)) {
        let Some(candidate) = self.window.oldest() else {
            return;
        };
        let weight = self.window.remove(candidate).unwrap_or(0);
        while !self.fits(weight) {
            // One request more proves nothing: the next one may be the other's. A heavy module need not be
            // asked for more often than several light ones together, since it takes as long to compile.
            let beaten = |slot: &Slot| self.counts.get(*slot) + 1 < self.counts.get(candidate);
            let Some(victim) = self.main.oldest().filter(beaten) else {
                return drop(candidate);
            };
            self.main.remove(victim);
            drop(victim);
        }
        self.main.push(candidate, weight);
    }

    fn remove(&mut self, slot: Slot) {
        self.window.remove(slot);
        self.main.remove(slot);
    }
}

impl Policy for TinyLfu {
    fn holds(&self, slot: Slot) -> bool {
        self.window.contains(slot) || self.main.contains(slot)
    }

    fn next(&self) -> Option<Slot> {
        self.window.oldest()
    }

    fn touch(&mut self, slot: Slot, weight: u64, drop: impl FnMut(Slot)) {
        let modules = self.window.len() + self.main.len();
        self.counts.add(slot, modules);
        // One that comes again with another weight starts anew.
        let part = if self.main.remove(slot) == Some(weight) {
            &mut self.main
        } else {
            &mut self.window
        };
        part.push(slot, weight);
        self.trim(drop);
    }

    fn set_room(&mut self, room: u64, drop: impl FnMut(Slot)) {
        self.room = room;
        self.trim(drop);
    }

    fn forget(&mut self, slot: Slot) {
        self.remove(slot);
        self.counts.forget(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(policy: &mut TinyLfu, slot: Slot, weight: u64) -> Vec<Slot> {
        let mut dropped = Vec::new();
        policy.touch(slot, weight, |slot| dropped.push(slot));
        dropped
    }

    #[test]
    fn a_newcomer_is_held_until_the_next_comes_and_stays_if_it_is_asked_for_twice_more() {
        let mut policy = TinyLfu::new(3);
        for slot in 0..3 {
            assert_eq!(touch(&mut policy, slot, 1), []);
        }
        // 0 and 1 are in the main part, and 2 was asked for no more often.
        assert_eq!(touch(&mut policy, 3, 1), [2]);
        touch(&mut policy, 3, 1);
        assert_eq!(touch(&mut policy, 4, 1), [3]);
        assert_eq!(touch(&mut policy, 3, 1), [4]);
        assert_eq!(touch(&mut policy, 4, 1), [0]);
        assert!([1, 3, 4].into_iter().all(|slot| policy.holds(slot)));
    }

    #[test]
    fn the_newest_is_held_however_heavy_and_leaves_first() {
        let mut policy = TinyLfu::new(10);
        for slot in 0..5 {
            touch(&mut policy, slot, 2);
            touch(&mut policy, slot, 2);
        }
        assert_eq!(touch(&mut policy, 5, 10), [4, 0, 1, 2, 3]);
        assert_eq!(touch(&mut policy, 6, 2), [5]);
    }

    #[test]
    fn less_room_takes_the_main_part_before_the_window() {
        let mut policy = TinyLfu::new(3);
        for slot in 0..3 {
            touch(&mut policy, slot, 1);
        }
        let mut dropped = Vec::new();
        policy.set_room(1, |slot| dropped.push(slot));
        assert_eq!(dropped, [0, 1]);
        policy.set_room(0, |slot| dropped.push(slot));
        assert_eq!(dropped, [0, 1, 2]);
    }
}
