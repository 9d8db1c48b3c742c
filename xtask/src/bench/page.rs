//! `docs/performance.md`: goals, sections and tables.

use super::goals::{Bound, GOALS, Goal};
use super::measurements::{Contender, Measurements, Task};
use super::plot;
use super::sections::{SECTIONS, Section, Unit};
use super::text::{number, time};

/// The whole page.
pub(super) fn page(machine: &str, quick: bool, measurements: &Measurements) -> String {
    let command = if quick {
        "cargo xtask bench --quick"
    } else {
        "cargo xtask bench"
    };
    format!(
        "# Performance\n\n\
         Written by `{command}`; change what it measures, not this page. All times of a task were taken in \
         one run, in rounds: in each, every contender has its turn, and a ratio is that of two contenders in \
         the same round. Tables show the median, and where the middle half of the rounds lies. Machines \
         differ and are noisy: trust the ratios, and not the times. Everything on disk is in the page cache.\n\n\
         {machine}\n\
         {}\n{}",
        goals(measurements),
        results(measurements)
    )
}

/// All sections that were measured.
fn results(measurements: &Measurements) -> String {
    let mut page = String::new();
    for section in &SECTIONS {
        let tasks: Vec<_> = measurements.tasks(section.name).collect();
        if !tasks.is_empty() {
            page += &section_text(section, &tasks);
        }
    }
    page.trim_end().to_owned() + "\n"
}

fn goals(measurements: &Measurements) -> String {
    let row = |goal: &Goal| {
        let outcome = goal.outcome(measurements)?;
        let unit = if matches!(goal.bound, Bound::Faster(_)) {
            "× faster"
        } else {
            "×"
        };
        Some(format!(
            "| {} | {} {unit} | {}, beside {} | {} |\n",
            goal.text,
            number(outcome.ratio.median),
            outcome.case,
            plain(outcome.other),
            if outcome.reached { "yes" } else { "**no**" }
        ))
    };
    let rows: String = GOALS.iter().filter_map(row).collect();
    let why_missed: Vec<_> = GOALS
        .iter()
        .filter(|goal| {
            let outcome = goal.outcome(measurements);
            !goal.why_missed.is_empty() && outcome.is_some_and(|outcome| !outcome.reached)
        })
        .map(|goal| format!("- {}: {}", goal.text, goal.why_missed))
        .collect();
    format!(
        "## Goals\n\n\
         Each is judged by the case in which it is farthest from being reached.\n\n\
         | goal | measured | in the case | reached |\n|---|---|---|---|\n{rows}\n{}\n",
        why_missed.join("\n")
    )
}

fn section_text(section: &Section, tasks: &[&Task]) -> String {
    let mut title = section.name.to_owned();
    title[..1].make_ascii_uppercase();
    let picture = plot::file_name(section);
    let mut text = format!(
        "## {title}\n\n{}\n\n![{title}](performance/{picture})\n\n",
        section.about
    );
    for task in tasks {
        text += &table(section.unit, task);
    }
    text
}

fn table(unit: Unit, task: &Task) -> String {
    let head = match unit {
        Unit::Time => "time",
        Unit::Count => "value",
        Unit::Share => "hit ratio",
    };
    let floor = task.floor();
    let columns = match floor {
        Some(floor) => format!(
            "| | {head} | × {} | middle half |\n|---|--:|--:|--:|",
            plain(&floor.name)
        ),
        None => format!("| | {head} |\n|---|--:|"),
    };
    let rows = task.contenders.iter();
    let rows: String = rows.map(|contender| row(unit, contender, floor)).collect();
    format!("### {}\n\n{columns}\n{rows}\n", task.case)
}

fn row(unit: Unit, contender: &Contender, floor: Option<&Contender>) -> String {
    let name = if contender.is_ours() {
        format!("**{}**", contender.name)
    } else {
        contender.name.clone()
    };
    let value = value(unit, contender.value());
    let Some(floor) = floor else {
        return format!("| {name} | {value} |\n");
    };
    let ratio = contender.ratio(floor);
    format!(
        "| {name} | {value} | {} | {} – {} |\n",
        number(ratio.median),
        number(ratio.low),
        number(ratio.high)
    )
}

/// A value with its unit.
pub(super) fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Time => time(value),
        Unit::Count => number(value),
        Unit::Share => format!("{:.1} %", 100.0 * value),
    }
}

fn plain(name: &str) -> &str {
    name.trim_start_matches("floor: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_a_table_with_ratios_to_its_floor() {
        let lines = "growth: hit\tfloor: 10 entries\t10000\ngrowth: hit\tmodule-cache, 1000 entries\t11000\n";
        let page = results(&Measurements::printed(lines).unwrap());
        assert!(page.contains("## Growth\n"), "{page}");
        assert!(
            page.contains("| | time | × 10 entries | middle half |"),
            "{page}"
        );
        assert!(
            page.contains("| **module-cache, 1000 entries** | 11 µs | 1.10 | 1.10 – 1.10 |"),
            "{page}"
        );
    }

    #[test]
    fn a_goal_that_is_missed_is_told() {
        let lines = "growth: hit\tfloor: 10 entries\t10000\ngrowth: hit\tmodule-cache, 1000 entries\t12000\n";
        let page = page("- here\n", true, &Measurements::printed(lines).unwrap());
        assert!(
            page.contains("| 1.20 × | hit, beside 10 entries | **no** |"),
            "{page}"
        );
    }
}
