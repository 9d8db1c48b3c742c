//! Contenders for one task, measured in turn, round after round.
//!
//! Criterion measures one function after the other, and on a machine with other work the minutes between
//! them matter more than the functions. So each round of a comparison is short and has every contender in
//! it, and `cargo xtask bench` compares within rounds: each gets its ratio to the round's baseline, and the
//! median of these is what is published.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};

use crate::effort;

/// The benchmarks of one criterion group, each of which is there once for every round.
///
/// What a name begins with tells `cargo xtask bench` what it is: `baseline: ` for what cannot be beaten (the
/// first of them is what all are divided by), `module-cache` for this project; all else is a peer.
#[must_use]
pub struct Comparison<'a> {
    task: String,
    contenders: Vec<(String, Measure<'a>)>,
}

/// Does something so many times and says how long that took.
type Measure<'a> = Box<dyn FnMut(u64) -> Duration + 'a>;

impl<'a> Comparison<'a> {
    /// A comparison without contenders. The task is written `section: case`.
    pub fn new(task: impl Into<String>) -> Self {
        Self {
            task: task.into(),
            contenders: Vec::new(),
        }
    }

    /// Adds a contender that measures by itself: it is told how often to do its work, and returns how long
    /// that took without what comes before and after.
    pub fn measured(
        mut self,
        name: impl Into<String>,
        measure: impl FnMut(u64) -> Duration + 'a,
    ) -> Self {
        self.contenders.push((name.into(), Box::new(measure)));
        self
    }

    /// Adds a contender whose every call is measured. What it returns is dropped outside of the
    /// measurement, so this is for what takes microseconds or more.
    pub fn called<T: 'a>(self, name: impl Into<String>, work: impl FnMut() -> T + 'a) -> Self {
        self.called_then(name, work, drop)
    }

    /// As [`called`](Self::called), and `after` each call comes what is not measured.
    pub fn called_then<T: 'a>(
        self,
        name: impl Into<String>,
        mut work: impl FnMut() -> T + 'a,
        mut after: impl FnMut(T) + 'a,
    ) -> Self {
        self.measured(name, move |count| {
            (0..count)
                .map(|_| {
                    let began = Instant::now();
                    let outcome = black_box(work());
                    let took = began.elapsed();
                    after(outcome);
                    took
                })
                .sum()
        })
    }

    /// Measures all of them, in every round.
    pub fn run(mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(&self.task);
        for round in 0..effort::choose(5, 15) {
            for (name, measure) in &mut self.contenders {
                group.bench_function(BenchmarkId::new(name.as_str(), round), |bencher| {
                    bencher.iter_custom(&mut *measure);
                });
            }
            // To and fro, so that nobody always follows the same one.
            self.contenders.reverse();
        }
        group.finish();
    }
}

/// Criterion, told that rounds are short.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(5))
        .measurement_time(Duration::from_millis(50))
        .nresamples(1001)
        .configure_from_args()
}
