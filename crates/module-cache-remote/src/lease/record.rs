//! What a record says: whose it is, and what came of it.

use std::fmt;

use module_cache_core::permit::PermitOutcome;

use crate::random::Random;

/// Whoever asks, told from everybody else who ever did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner(u128);

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Somebody compiles, and renewed the record so often. What is not understood is a record of this kind: it is watched
    /// for a term.
    Held { renewals: u64 },
    /// Nobody's.
    Free,
    /// Nobody's: what was compiled cannot be stored.
    NotStored,
    /// Nobody's: the module does not compile.
    Failed,
}

impl State {
    pub(super) fn of(record: &str) -> Self {
        match record
            .trim_end()
            .split_once(' ')
            .map_or("", |(_, state)| state)
        {
            "free" => Self::Free,
            "not-stored" => Self::NotStored,
            "failed" => Self::Failed,
            renewals => Self::Held {
                renewals: renewals.parse().unwrap_or(0),
            },
        }
    }

    /// What is left in the place of a lease.
    pub(super) fn left_by(outcome: PermitOutcome) -> Self {
        match outcome {
            PermitOutcome::Stored | PermitOutcome::Unknown => Self::Free,
            PermitOutcome::NotStored => Self::NotStored,
            PermitOutcome::Failed => Self::Failed,
        }
    }

    pub(super) fn outcome(self) -> PermitOutcome {
        match self {
            Self::NotStored => PermitOutcome::NotStored,
            Self::Failed => PermitOutcome::Failed,
            Self::Held { .. } | Self::Free => PermitOutcome::Unknown,
        }
    }
}

impl Owner {
    pub(super) fn new(random: &Random) -> Self {
        Self(random.next())
    }

    /// A record of this owner. Each renewal has another one, or it would not change.
    pub(super) fn record(self, state: State) -> String {
        match state {
            State::Held { renewals } => format!("{self} {renewals}\n"),
            State::Free => format!("{self} free\n"),
            State::NotStored => format!("{self} not-stored\n"),
            State::Failed => format!("{self} failed\n"),
        }
    }

    pub(super) fn wrote(self, record: &str) -> bool {
        record.split(' ').next() == Some(self.to_string().as_str())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written_and_garbage_as_one_that_is_held() {
        let owner = Owner(7);
        for state in [
            State::Held { renewals: 0 },
            State::Held { renewals: 12 },
            State::Free,
            State::NotStored,
            State::Failed,
        ] {
            let record = owner.record(state);
            assert_eq!(State::of(&record), state);
            assert!(owner.wrote(&record) && !Owner(8).wrote(&record));
        }
        for garbage in ["", "free", "x free y", "\u{0}", "x 99999999999999999999999"] {
            assert_eq!(State::of(garbage), State::Held { renewals: 0 }, "{garbage}");
        }
    }
}
