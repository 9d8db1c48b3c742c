//! What was measured: tasks, their contenders, and a value of each for every round.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use serde_json::Value;

/// What the names of baselines begin with.
const BASELINE: &str = "baseline: ";

/// Everything measured, in the order in which it was.
#[derive(Debug, Default)]
pub(super) struct Measurements(Vec<Task>);

/// Something that all contenders do in each round.
#[derive(Debug)]
pub(super) struct Task {
    /// What it belongs to, such as "disk hit".
    pub(super) section: String,
    /// Which one it is, such as "esbuild".
    pub(super) case: String,
    pub(super) contenders: Vec<Contender>,
}

/// A baseline, this project, or a peer; the benchmarks say which by how they name it.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) name: String,
    /// Nanoseconds, or a value without a unit, for each round.
    rounds: Vec<f64>,
}

impl Measurements {
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.0.iter()
    }

    /// Takes lines of `task<TAB>contender<TAB>value`, one for each round.
    pub(super) fn printed(lines: &str) -> Result<Self> {
        let mut measurements = Self::default();
        for line in lines.lines() {
            let parts: Vec<_> = line.split('\t').collect();
            let [task, contender, value] = parts[..] else {
                anyhow::bail!("{line:?} is not a task, a contender and a value");
            };
            let value = value
                .parse()
                .with_context(|| format!("{value:?} is not a number"))?;
            measurements.add(task, contender, value)?;
        }
        Ok(measurements)
    }

    /// Reads the samples that criterion left, in nanoseconds for each call.
    pub(super) fn sampled(folder: &Path) -> Result<Self> {
        let mut found = Vec::new();
        find(folder, &mut found)?;
        found.sort();
        let mut measurements = Self::default();
        for (_, folder) in found {
            let names = read(&folder.join("benchmark.json"))?;
            let sample = read(&folder.join("sample.json"))?;
            let text = |name: &str| {
                names[name]
                    .as_str()
                    .with_context(|| format!("a benchmark without a {name}"))
            };
            let numbers = |name: &str| -> Result<Vec<f64>> {
                serde_json::from_value(sample[name].clone()).context("a sample without numbers")
            };
            let mut each: Vec<f64> = numbers("times")?
                .into_iter()
                .zip(numbers("iters")?)
                .map(|(time, count)| time / count)
                .collect();
            let value = Spread::of(&mut each).median;
            measurements.add(text("group_id")?, text("function_id")?, value)?;
        }
        Ok(measurements)
    }

    fn add(&mut self, task: &str, contender: &str, value: f64) -> Result<()> {
        let (section, case) = task
            .split_once(": ")
            .with_context(|| format!("{task:?} is not a section and a case"))?;
        let known = |task: &Task| task.section == section && task.case == case;
        let index = self.0.iter().position(known).unwrap_or_else(|| {
            self.0.push(Task {
                section: section.to_owned(),
                case: case.to_owned(),
                contenders: Vec::new(),
            });
            self.0.len() - 1
        });
        let contenders = &mut self.0[index].contenders;
        match contenders.iter_mut().find(|known| known.name == contender) {
            Some(known) => known.rounds.push(value),
            None => contenders.push(Contender {
                name: contender.to_owned(),
                rounds: vec![value],
            }),
        }
        Ok(())
    }
}

impl Task {
    /// What all are divided by.
    pub(super) fn baseline(&self) -> Option<&Contender> {
        let mut contenders = self.contenders.iter();
        contenders.find(|contender| contender.is_baseline())
    }

    /// A contender's name without what it is.
    pub(super) fn plain(name: &str) -> &str {
        name.strip_prefix(BASELINE).unwrap_or(name)
    }
}

impl Contender {
    pub(super) fn is_baseline(&self) -> bool {
        self.name.starts_with(BASELINE)
    }

    pub(super) fn is_ours(&self) -> bool {
        self.name.starts_with("module-cache")
    }

    pub(super) fn value(&self) -> f64 {
        Spread::of(&mut self.rounds.clone()).median
    }

    /// How many times `other` this is, in each round.
    pub(super) fn ratio(&self, other: &Self) -> Spread {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let mut ratios: Vec<_> = rounds
            // Caches that answer nothing are equals.
            .map(|(ours, other)| ours.max(f64::MIN_POSITIVE) / other.max(f64::MIN_POSITIVE))
            .collect();
        Spread::of(&mut ratios)
    }
}

/// The middle of some values, and the half of them around it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Spread {
    fn of(values: &mut [f64]) -> Self {
        values.sort_by(f64::total_cmp);
        // Between two of them where it must.
        let at = |quarter: usize| {
            let last = values.len() - 1;
            let (index, rest) = (last * quarter / 4, last * quarter % 4);
            let share = [0.0, 0.25, 0.5, 0.75][rest];
            let above = values[(index + 1).min(last)];
            values[index] + (above - values[index]) * share
        };
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

/// The folders with a sample below `folder`, each with the time when it was taken.
fn find(folder: &Path, found: &mut Vec<(SystemTime, PathBuf)>) -> Result<()> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("there are no samples in {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        // Beside `new` is `base`, which is the same.
        if path.ends_with("new") {
            let taken = fs::metadata(path.join("sample.json"))?.modified()?;
            found.push((taken, path));
        } else if path.is_dir() {
            find(&path, found)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let lines = "s: c\tbaseline: f\t10\ns: c\tmodule-cache\t20\n\
                     s: c\tbaseline: f\t100\ns: c\tmodule-cache\t150\n\
                     s: c\tbaseline: f\t20\ns: c\tmodule-cache\t36\n";
        let measurements = Measurements::printed(lines).unwrap();
        let task = measurements.tasks().next().unwrap();
        let ours = task.contenders.iter().find(|one| one.is_ours()).unwrap();
        let ratio = ours.ratio(task.baseline().unwrap());
        assert!((ratio.median - 1.8).abs() < 1e-9, "{ratio:?}");
        assert!((ours.value() - 36.0).abs() < 1e-9);
    }

    #[test]
    fn the_spread_lies_between_values_where_it_must() {
        let spread = Spread::of(&mut [4.0, 1.0, 3.0, 2.0]);
        let expected = Spread {
            low: 1.75,
            median: 2.5,
            high: 3.25,
        };
        assert_eq!(spread, expected);
    }

    #[test]
    fn samples_are_read_in_the_order_in_which_they_were_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (name, times) in [("late", "[30, 40]"), ("early", "[10, 20]")].iter().rev() {
            let place = folder.path().join(name).join("0/new");
            fs::create_dir_all(&place).unwrap();
            let names = format!(r#"{{"group_id": "s: c", "function_id": "{name}"}}"#);
            fs::write(place.join("benchmark.json"), names).unwrap();
            let sample = format!(r#"{{"iters": [1, 2], "times": {times}}}"#);
            fs::write(place.join("sample.json"), sample).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let measurements = Measurements::sampled(folder.path()).unwrap();
        let task = measurements.tasks().next().unwrap();
        let values: Vec<_> = task
            .contenders
            .iter()
            .map(|one| (one.name.as_str(), one.value()))
            .collect();
        let values: Vec<_> = values
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        assert_eq!(values, ["early 10", "late 25"]);
    }

    #[test]
    fn a_line_that_is_no_measurement_is_an_error() {
        for line in ["s: c\tx", "s\tx\t1", "s: c\tx\tmany"] {
            assert!(Measurements::printed(line).is_err(), "{line}");
        }
    }
}
