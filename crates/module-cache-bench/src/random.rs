//! Numbers that look random and are the same in every run.

use std::f64::consts::TAU;

/// `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A sequence that depends on the seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, uniform enough for bounds far below 2^64.
    ///
    /// # Panics
    ///
    /// When `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_word() % bound
    }

    /// A number from 0 to below 1.
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are what a double holds"
    )]
    pub fn fraction(&mut self) -> f64 {
        (self.next_word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The size of a compiled module in bytes: log-normal, with a median of 400 KB, and from 10 KB (a plugin of
    /// a few functions) to 50 MB (a compiler or an interpreter with its library).
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive and far below 2^64"
    )]
    pub fn module_size(&mut self) -> u64 {
        (400e3 * (1.8 * self.normal()).exp()).clamp(10e3, 50e6) as u64
    }

    /// A number of the standard normal distribution, by the method of Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let (length, angle) = (1.0 - self.fraction(), self.fraction());
        (-2.0 * length.ln()).sqrt() * (TAU * angle).cos()
    }

    /// 64 bits.
    pub fn next_word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

/// Items of which the most popular is asked for twice as often as the second at skew 1, three times as
/// often as the third, and so on.
#[derive(Debug)]
pub struct Zipf {
    /// The share of all requests that go to an item or to one more popular.
    shares: Vec<f64>,
}

impl Zipf {
    /// A distribution over `items`, from 0, the most popular.
    pub fn new(items: u32, skew: f64) -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<_> = (1..=items)
            .map(|rank| {
                sum += f64::from(rank).powf(-skew);
                sum
            })
            .collect();
        for share in &mut shares {
            *share /= sum;
        }
        Self { shares }
    }

    /// The item that is asked for next.
    pub fn next(&self, random: &mut Random) -> u64 {
        let at = random.fraction();
        self.shares.partition_point(|share| *share < at) as u64
    }
}
