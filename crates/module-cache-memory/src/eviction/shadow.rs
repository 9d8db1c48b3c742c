//! What a policy would hold if it were alone, beside what is there.

use super::list::{List, Slot};

/// A replacement policy that says what it would hold, given all requests.
pub(super) trait Policy {
    fn holds(&self, slot: Slot) -> bool;

    /// What it would let go of if another came.
    fn next(&self) -> Option<Slot>;

    /// Takes note of a request for a module that is no heavier than the room, and holds it. What it no
    /// longer holds for that it passes to `drop`.
    fn touch(&mut self, slot: Slot, weight: u64, drop: impl FnMut(Slot));

    fn set_room(&mut self, room: u64, drop: impl FnMut(Slot));

    /// Makes a slot one that was never asked for.
    fn forget(&mut self, slot: Slot);
}

/// A policy, and those of the modules that are there which it would not hold.
#[derive(Debug)]
pub(super) struct Shadow<P> {
    policy: P,
    surplus: List,
}

impl<P: Policy> Shadow<P> {
    pub(super) fn new(policy: P) -> Self {
        Self {
            policy,
            surplus: List::default(),
        }
    }

    pub(super) fn holds(&self, slot: Slot) -> bool {
        self.policy.holds(slot)
    }

    /// Of the modules that are there and that the policy does not hold, the one that it let go first.
    pub(super) fn surplus(&self) -> Option<Slot> {
        self.surplus.oldest()
    }

    /// What would leave if another came, and may be gone already.
    pub(super) fn next(&self) -> Option<Slot> {
        self.surplus().or_else(|| self.policy.next())
    }

    pub(super) fn touch(&mut self, slot: Slot, weight: u64, is_there: impl Fn(Slot) -> bool) {
        let Self { policy, surplus } = self;
        surplus.remove(slot);
        policy.touch(slot, weight, |dropped| note(surplus, dropped, &is_there));
    }

    pub(super) fn set_room(&mut self, room: u64, is_there: impl Fn(Slot) -> bool) {
        let Self { policy, surplus } = self;
        policy.set_room(room, |dropped| note(surplus, dropped, &is_there));
    }

    /// Takes note that a module is no longer there, which does not concern the policy.
    pub(super) fn evict(&mut self, slot: Slot) {
        self.surplus.remove(slot);
    }

    pub(super) fn forget(&mut self, slot: Slot) {
        self.surplus.remove(slot);
        self.policy.forget(slot);
    }
}

fn note(surplus: &mut List, dropped: Slot, is_there: impl Fn(Slot) -> bool) {
    if is_there(dropped) {
        surplus.push(dropped, 0);
    }
}
