//! How often modules were asked for lately.

use super::list::{Slot, index};

/// Counts of requests that grow old: all are halved now and then.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_slot: Vec<Count>,
    halvings: u64,
    since_halving: usize,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    count: u8,
    /// How often it was halved; it is brought up to date when it is used.
    halvings: u64,
}

/// Where a count stops. With a higher one, what was popular long ago would stay for too long.
const MOST: u8 = 7;

/// The requests for each module, on average, from one halving to the next but one.
const MEMORY: usize = 40;

impl Counts {
    pub(super) fn get(&self, slot: Slot) -> u8 {
        let count = self.by_slot.get(index(slot)).copied().unwrap_or_default();
        let halvings = u32::try_from(self.halvings - count.halvings);
        let halved = halvings
            .ok()
            .and_then(|times| count.count.checked_shr(times));
        halved.unwrap_or(0)
    }

    /// Counts a request for one of so many modules.
    pub(super) fn add(&mut self, slot: Slot, modules: usize) {
        let count = (self.get(slot) + 1).min(MOST);
        if self.by_slot.len() <= index(slot) {
            self.by_slot.resize(index(slot) + 1, Count::default());
        }
        self.by_slot[index(slot)] = Count {
            count,
            halvings: self.halvings,
        };
        self.since_halving += 1;
        if self.since_halving >= MEMORY * modules.max(1) {
            // Half of what was counted is still there.
            self.since_halving /= 2;
            self.halvings += 1;
        }
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(count) = self.by_slot.get_mut(index(slot)) {
            *count = Count::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_stop_at_the_most() {
        let mut counts = Counts::default();
        for _ in 0..20 {
            counts.add(0, 1);
        }
        counts.add(1, 1);
        assert_eq!((counts.get(0), counts.get(1), counts.get(2)), (MOST, 1, 0));
        counts.forget(0);
        assert_eq!(counts.get(0), 0);
    }

    #[test]
    fn all_are_halved_after_forty_requests_for_each_module_and_then_after_every_twenty() {
        let mut counts = Counts::default();
        for _ in 0..10 {
            counts.add(0, 2);
        }
        let mut after_requests = |requests: u32| {
            (0..requests).for_each(|_| counts.add(1, 2));
            counts.get(0)
        };
        assert_eq!((after_requests(69), after_requests(1)), (7, 3));
        assert_eq!((after_requests(39), after_requests(1)), (3, 1));
        assert_eq!((after_requests(39), after_requests(1)), (1, 0));
        assert_eq!(after_requests(40 * 100), 0);
    }
}
