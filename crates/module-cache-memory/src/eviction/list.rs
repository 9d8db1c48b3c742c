//! Modules in the order in which they came, with their weights: what all parts of an eviction policy are
//! made of.

/// The number by which a policy knows a module. Numbers are used again. They are small, because so much is
/// kept by them.
pub(super) type Slot = u32;

/// Where in a slab a slot is.
pub(super) fn index(slot: Slot) -> usize {
    slot as usize
}

/// A doubly linked list in a slab: every operation takes constant time, and a slab that has grown
/// allocates nothing.
#[derive(Debug, Default)]
pub(super) struct List {
    /// By slot; `None` for those that are not in the list.
    links: Vec<Option<Link>>,
    newest: Option<Slot>,
    oldest: Option<Slot>,
    len: usize,
    weight: u128,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    weight: u64,
    newer: Option<Slot>,
    older: Option<Slot>,
}

impl List {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The sum of all weights, each of which may be near the largest number.
    pub(super) fn weight(&self) -> u128 {
        self.weight
    }

    pub(super) fn oldest(&self) -> Option<Slot> {
        self.oldest
    }

    pub(super) fn contains(&self, slot: Slot) -> bool {
        self.links.get(index(slot)).is_some_and(Option::is_some)
    }

    /// Makes a slot the newest, wherever it was before.
    pub(super) fn push(&mut self, slot: Slot, weight: u64) {
        self.remove(slot);
        if self.links.len() <= index(slot) {
            self.links.resize(index(slot) + 1, None);
        }
        self.links[index(slot)] = Some(Link {
            weight,
            newer: None,
            older: self.newest,
        });
        match self.newest {
            Some(newest) => self.link(newest).newer = Some(slot),
            None => self.oldest = Some(slot),
        }
        self.newest = Some(slot);
        self.len += 1;
        self.weight += u128::from(weight);
    }

    /// Takes a slot out, if it is in there, and returns its weight.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<u64> {
        let link = self.links.get_mut(index(slot))?.take()?;
        match link.newer {
            Some(newer) => self.link(newer).older = link.older,
            None => self.newest = link.older,
        }
        match link.older {
            Some(older) => self.link(older).newer = link.newer,
            None => self.oldest = link.newer,
        }
        self.len -= 1;
        self.weight -= u128::from(link.weight);
        Some(link.weight)
    }

    fn link(&mut self, slot: Slot) -> &mut Link {
        let link = self.links[index(slot)].as_mut();
        link.unwrap_or_else(|| unreachable!("neighbours are in the list"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_like_a_vector(operations in prop::collection::vec((0..9_u32, prop::option::of(0..5_u64)), 0..60)) {
            let (mut list, mut model) = (List::default(), Vec::new());
            for (slot, push) in operations {
                let at = model.iter().position(|(other, _)| *other == slot);
                let before = at.map(|at| model.remove(at).1);
                if let Some(weight) = push {
                    list.push(slot, weight);
                    model.push((slot, weight));
                } else {
                    prop_assert_eq!(list.remove(slot), before);
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.oldest(), model.first().map(|(slot, _)| *slot));
                prop_assert_eq!(list.weight(), model.iter().map(|(_, weight)| u128::from(*weight)).sum());
            }
            for (slot, weight) in model {
                prop_assert_eq!(list.oldest(), Some(slot));
                prop_assert!(list.contains(slot));
                prop_assert_eq!(list.remove(slot), Some(weight));
                prop_assert!(!list.contains(slot));
            }
        }
    }
}
