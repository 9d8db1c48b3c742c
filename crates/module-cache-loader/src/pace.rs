//! How long compiling takes here, by what it has taken so far.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is thought before anything was compiled: a MB of wasm takes a second, and a module of which the size is not known, too.
const PER_BYTE: Duration = Duration::from_micros(1);
const PER_MODULE: Duration = Duration::from_secs(1);

/// The sums of what was compiled.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    modules: AtomicU64,
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Pace {
    pub(crate) fn took(&self, wasm: usize, elapsed: Duration) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.modules.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(wasm as u64, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How long a module of so many bytes is expected to take.
    pub(crate) fn of_bytes(&self, wasm: usize) -> Duration {
        let bytes = wasm as u64;
        self.share(&self.bytes, bytes)
            .unwrap_or(PER_BYTE.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)))
    }

    /// How long any module is.
    pub(crate) fn of_any(&self) -> Duration {
        self.share(&self.modules, 1).unwrap_or(PER_MODULE)
    }

    /// `part` out of a sum, in time.
    fn share(&self, sum: &AtomicU64, part: u64) -> Option<Duration> {
        let nanoseconds = u128::from(self.nanoseconds.load(Ordering::Relaxed)) * u128::from(part);
        let share = nanoseconds.checked_div(u128::from(sum.load(Ordering::Relaxed)))?;
        Some(Duration::from_nanos(
            u64::try_from(share).unwrap_or(u64::MAX),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_what_it_took_so_far() {
        let pace = Pace::default();
        assert_eq!(pace.of_bytes(3_000_000), Duration::from_secs(3));
        assert_eq!(pace.of_any(), Duration::from_secs(1));
        pace.took(1_000_000, Duration::from_secs(4));
        pace.took(3_000_000, Duration::from_secs(8));
        assert_eq!(pace.of_bytes(2_000_000), Duration::from_secs(6));
        assert_eq!(pace.of_any(), Duration::from_secs(6));
    }
}
