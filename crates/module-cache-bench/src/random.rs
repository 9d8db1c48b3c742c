//! Numbers that look random and are the same in every run.

use rand::SeedableRng;
pub use rand::{Rng, RngExt};
pub use rand_distr::{Distribution, StandardNormal};
use rand_distr::{LogNormal, Zipf};
pub use rand_pcg::Pcg64;

/// A sequence that depends on the seed.
pub fn seeded(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed)
}

/// The size of a compiled module in bytes: log-normal, with a median of 400 KB, and from 10 KB (a plugin of a few
/// functions) to 50 MB (a compiler or an interpreter with its library).
///
/// # Panics
///
/// Never: the distribution is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is positive and far below 2^64"
)]
pub fn module_size(random: &mut Pcg64) -> u64 {
    let sizes = LogNormal::new(400e3_f64.ln(), 1.8).expect("a distribution");
    sizes.sample(random).clamp(10e3, 50e6) as u64
}

/// Items from 0, the most popular, of which at skew 1 the first is asked for twice as often as the second, three times
/// as often as the third, and so on.
///
/// # Panics
///
/// If there are no items.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is a whole number"
)]
pub fn zipf(items: u32, skew: f64) -> impl Fn(&mut Pcg64) -> u64 {
    let ranks = Zipf::new(f64::from(items), skew).expect("a distribution");
    move |random| ranks.sample(random) as u64 - 1
}
