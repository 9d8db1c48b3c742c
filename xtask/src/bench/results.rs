//! All that was measured, as text.

use std::fmt::Write;

use super::measurements::{Measurements, Task};

/// What the values of a task are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Nanoseconds.
    Time,
    /// Whatever the task's name says.
    Count,
    /// Parts of 1; more is better.
    Share,
}

impl Unit {
    pub(super) fn of(task: &Task) -> Self {
        match task.section.as_str() {
            "eviction" => Self::Share,
            "herd" => Self::Count,
            _ => Self::Time,
        }
    }

    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::Time => time(value),
            Self::Count => number(value),
            Self::Share => format!("{:.1} %", 100.0 * value),
        }
    }
}

/// Each task with its contenders: the median, its ratio to the baseline, and where the middle half of the ratios lies.
pub(super) fn text(measurements: &Measurements) -> String {
    let mut text = String::new();
    for task in measurements.tasks() {
        let unit = Unit::of(task);
        line(&mut text, format_args!("\n{}: {}", task.section, task.case));
        for contender in &task.contenders {
            let value = unit.text(contender.value());
            let ratio = task.baseline().map(|baseline| {
                let ratio = contender.ratio(baseline);
                let [low, median, high] = [ratio.low, ratio.median, ratio.high].map(number);
                format!("{median:>8} × ({low} – {high})")
            });
            let ratio = ratio.unwrap_or_default();
            line(
                &mut text,
                format_args!("  {:<55} {value:>10} {ratio}", contender.name),
            );
        }
    }
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").unwrap_or_else(|_| unreachable!("a string takes all"));
}

/// Three digits that matter and a unit of time.
fn time(nanoseconds: f64) -> String {
    let units = [("s", 1e9), ("ms", 1e6), ("µs", 1e3)];
    let unit = units.into_iter().find(|(_, size)| nanoseconds >= *size);
    let (unit, size) = unit.unwrap_or(("ns", 1.0));
    format!("{} {unit}", number(nanoseconds / size))
}

/// Three digits that matter, and no fewer than are before the point.
pub(super) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contender_has_its_ratio_to_the_baseline() {
        let lines = "growth: hit\tbaseline: 10 entries\t10000\ngrowth: hit\tmodule-cache\t12000\n";
        let text = text(&Measurements::printed(lines).unwrap());
        assert!(text.contains("growth: hit\n"), "{text}");
        assert!(text.contains("12.0 µs     1.20 × (1.20 – 1.20)"), "{text}");
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let times = [0.4, 19.04, 240_000.0, 7_130_000.0, 7_130_000_000.0];
        let texts = ["0.400 ns", "19.0 ns", "240 µs", "7.13 ms", "7.13 s"];
        assert_eq!(times.map(time), texts);
    }
}
