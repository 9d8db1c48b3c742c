//! Random numbers: names of owners, and pauses that no two hosts share.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// A source of random numbers: the `SplitMix64` generator (Steele, Lea and Flood, 2014) from a random start, as what is random
/// here tells hosts apart and keeps no secret.
#[derive(Debug, Clone)]
pub(crate) struct Random(Arc<Mutex<u64>>);

impl Random {
    /// From what the system has, or else from where this process has its memory.
    pub(crate) fn from_system() -> Self {
        let address = std::ptr::from_ref(&Arc::new(0_u8)) as usize as u64;
        Self::from_seed(getrandom::u64().unwrap_or(address))
    }

    pub(crate) fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    fn next_u64(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn next(&self) -> u128 {
        u128::from(self.next_u64()) << 64 | u128::from(self.next_u64())
    }

    /// Less than `end`; 0 where there is nothing less.
    pub(crate) fn below(&self, end: u64) -> usize {
        let below = self.next_u64().checked_rem(end).unwrap_or(0);
        usize::try_from(below).unwrap_or(0)
    }

    /// Between three quarters of it and five, so that a fleet does not ask in step.
    pub(crate) fn jittered(&self, pause: Duration) -> Duration {
        let part = f64::from((self.next_u64() >> 32) as u32) / f64::from(u32::MAX);
        pause.mul_f64(0.75 + part / 2.0)
    }
}
