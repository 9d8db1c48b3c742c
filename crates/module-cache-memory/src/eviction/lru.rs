//! LRU: what was asked for last stays.

use super::list::{List, Slot};
use super::shadow::Policy;

/// The modules that were asked for last, as many as there is room for.
#[derive(Debug)]
pub(super) struct Lru {
    room: u64,
    held: List,
}

impl Lru {
    pub(super) fn new(room: u64) -> Self {
        Self {
            room,
            held: List::default(),
        }
    }

    fn trim(&mut self, mut drop: impl FnMut(Slot)) {
        while self.held.weight() > u128::from(self.room)
            && let Some(oldest) = self.held.oldest()
        {
            self.held.remove(oldest);
            drop(oldest);
        }
    }
}

impl Policy for Lru {
    fn holds(&self, slot: Slot) -> bool {
        self.held.contains(slot)
    }

    fn next(&self) -> Option<Slot> {
        self.held.oldest()
    }

    fn touch(&mut self, slot: Slot, weight: u64, drop: impl FnMut(Slot)) {
        self.held.push(slot, weight);
        self.trim(drop);
    }

    fn set_room(&mut self, room: u64, drop: impl FnMut(Slot)) {
        self.room = room;
        self.trim(drop);
    }

    fn forget(&mut self, slot: Slot) {
        self.held.remove(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_longest_ago_leaves_first_and_only_as_much_as_needed() {
        let mut lru = Lru::new(10);
        let mut dropped = Vec::new();
        for (slot, weight) in [(0, 4), (1, 4), (0, 4), (2, 3), (3, 5)] {
            lru.touch(slot, weight, |slot| dropped.push(slot));
        }
        assert_eq!(dropped, [1, 0]);
        lru.set_room(5, |slot| dropped.push(slot));
        assert_eq!(dropped, [1, 0, 2]);
        assert!(lru.holds(3));
    }
}
