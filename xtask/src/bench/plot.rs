//! The pictures: for each contender a bar as long as its time, on a logarithmic axis.

use std::error::Error;

use plotters::prelude::*;

use super::measurements::{Contender, Measurements, Task};
use super::results::{Unit, number};

/// What is drawn, and from what.
pub(super) struct Picture {
    pub(super) title: &'static str,
    /// Its name without `.svg`.
    pub(super) file: &'static str,
    section: &'static str,
    /// What the names of the drawn cases begin with and end with.
    cases: (&'static str, &'static str),
}

const fn picture(
    title: &'static str,
    file: &'static str,
    section: &'static str,
    cases: (&'static str, &'static str),
) -> Picture {
    Picture {
        title,
        file,
        section,
        cases,
    }
}

pub(super) const PICTURES: [Picture; 5] = [
    picture(
        "Hits in a memory cache of 1,024 modules",
        "memory-hit",
        "memory hit",
        ("", "1024 entries"),
    ),
    picture(
        "Loads from the folder",
        "disk-hit",
        "disk hit, verified before",
        ("", ""),
    ),
    picture(
        "First loads from the folder after a mount",
        "first-disk-hit",
        "disk hit, first this boot",
        ("", ""),
    ),
    picture(
        "Loads from a storage on the same machine",
        "remote-hit",
        "remote hit",
        ("", ""),
    ),
    picture(
        "Share of requests that a memory cache of 1 GB answers: longer is better",
        "eviction",
        "eviction",
        ("requests", "1000 MB"),
    ),
];

const WIDTH: u32 = 900;
const LINE: u32 = 20;
/// What the names on the left take, and the values on the right.
const NAMES: u32 = 330;
const VALUES: u32 = 150;

/// The picture as SVG; `None` if nothing of it was measured.
pub(super) fn draw(
    picture: &Picture,
    measurements: &Measurements,
) -> Result<Option<String>, Box<dyn Error>> {
    let (begin, end) = picture.cases;
    let tasks = measurements.tasks();
    let tasks: Vec<_> = tasks
        .filter(|task| task.section == picture.section)
        .filter(|task| task.case.starts_with(begin) && task.case.ends_with(end))
        .collect();
    let lines: usize = tasks.iter().map(|task| task.contenders.len() + 2).sum();
    if lines == 0 {
        return Ok(None);
    }
    let mut svg = String::new();
    {
        let height = u32::try_from(lines + 1)? * LINE;
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE)?;
        let scale = Scale::of(&tasks);
        let at = |x: u32, line: usize| -> Result<(i32, i32), Box<dyn Error>> {
            Ok((
                i32::try_from(x)?,
                i32::try_from(line)? * i32::try_from(LINE)?,
            ))
        };
        let style = |color: &RGBColor| ("sans-serif", 13).into_font().color(color);
        let mut line = 1;
        for task in tasks {
            area.draw_text(&task.case, &style(&BLACK), at(10, line)?)?;
            line += 1;
            for contender in &task.contenders {
                let (left, top) = at(NAMES, line)?;
                let right = left + scale.length(contender.value());
                let bar =
                    Rectangle::new([(left, top), (right, top + 15)], color(contender).filled());
                area.draw(&bar)?;
                let name = Task::plain(&contender.name);
                area.draw_text(name, &style(&BLACK), (25, top + 1))?;
                area.draw_text(
                    &label(task, contender),
                    &style(&BLACK),
                    (right + 6, top + 1),
                )?;
                line += 1;
            }
            line += 1;
        }
        area.present()?;
    }
    Ok(Some(svg))
}

fn color(contender: &Contender) -> RGBColor {
    if contender.is_ours() {
        RGBColor(31, 119, 180)
    } else if contender.is_baseline() {
        RGBColor(120, 120, 120)
    } else {
        RGBColor(200, 200, 200)
    }
}

fn label(task: &Task, contender: &Contender) -> String {
    let value = Unit::of(task).text(contender.value());
    match task.baseline() {
        Some(baseline) if baseline.name != contender.name => {
            format!("{value} = {} ×", number(contender.ratio(baseline).median))
        }
        _ => value,
    }
}

/// From values to lengths, the same for all tasks of a picture.
struct Scale {
    logarithmic: bool,
    least: f64,
    most: f64,
}

impl Scale {
    fn of(tasks: &[&Task]) -> Self {
        let contenders = tasks.iter().flat_map(|task| &task.contenders);
        let values: Vec<_> = contenders.map(Contender::value).collect();
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.iter().copied().fold(most, f64::min);
        Self {
            logarithmic: tasks.iter().all(|task| Unit::of(task) == Unit::Time),
            // So that the shortest bar can be seen.
            least: least / 1.5,
            most,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is at most the width of the picture"
    )]
    fn length(&self, value: f64) -> i32 {
        let share = if self.logarithmic {
            (value / self.least).ln() / (self.most / self.least).ln()
        } else {
            value / self.most
        };
        (share * f64::from(WIDTH - NAMES - VALUES)) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_times_have_longer_bars_and_all_fit() {
        let lines =
            "growth: hit\tbaseline: f\t10\ngrowth: hit\tmodule-cache\t100\ngrowth: hit\tp\t1000\n";
        let measurements = Measurements::printed(lines).unwrap();
        let scale = Scale::of(&measurements.tasks().collect::<Vec<_>>());
        let lengths = [10.0, 100.0, 1000.0].map(|value| scale.length(value));
        assert!(0 < lengths[0] && lengths[0] < lengths[1] && lengths[1] < lengths[2]);
        assert_eq!(lengths[2].unsigned_abs(), WIDTH - NAMES - VALUES);
    }

    #[test]
    fn a_picture_names_every_contender_and_its_ratio() {
        let lines = "remote hit: sqlite\tbaseline: f\t10\nremote hit: sqlite\tmodule-cache\t15\n";
        let measurements = Measurements::printed(lines).unwrap();
        let svg = draw(&PICTURES[3], &measurements).unwrap().unwrap();
        assert!(
            svg.contains("15.0 ns = 1.50 ×") && svg.contains("module-cache"),
            "{svg}"
        );
        assert!(draw(&PICTURES[0], &measurements).unwrap().is_none());
    }
}
