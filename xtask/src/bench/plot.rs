//! Bar charts as SVG: one panel for each case, one bar for each contender, and a line at the floor.

use std::fmt::Write;

use super::measurements::{Contender, Measurements, Task};
use super::page;
use super::sections::{SECTIONS, Section, Unit};
use super::text::{number, slug};

/// A picture of each section that was measured, with the name of its file.
pub(super) fn plots(measurements: &Measurements) -> Vec<(String, String)> {
    SECTIONS
        .iter()
        .filter_map(|section| {
            let tasks = measurements.tasks(section.name);
            let tasks: Vec<_> = tasks
                .filter(|task| task.case.contains(section.drawn))
                .collect();
            (!tasks.is_empty()).then(|| (file_name(section), picture(section, &tasks)))
        })
        .collect()
}

/// The name of the file with a section's picture.
pub(super) fn file_name(section: &Section) -> String {
    slug(section.name) + ".svg"
}

/// All in pixels.
const WIDTH: f64 = 880.0;
const NAMES: f64 = 330.0;
const VALUES: f64 = 170.0;
const LINE: f64 = 22.0;
const MARGIN: f64 = 16.0;

/// Readable on any page, because it brings its background; dark where the reader's system is.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:17px;font-weight:600}\
.case{font-weight:600}.note{fill:#59636e;stroke:#ffffff;stroke-width:4px;paint-order:stroke}.page{fill:#ffffff}.floor{fill:#8c959f}.ours{fill:#1a7f37}\
.peer{fill:#54aeff}line{stroke:#59636e;stroke-dasharray:3 3}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.note{fill:#9198a1;stroke:#0d1117}.page{fill:#0d1117}\
.floor{fill:#656c76}.ours{fill:#3fb950}.peer{fill:#1f6feb}line{stroke:#9198a1}}";

fn picture(section: &Section, tasks: &[&Task]) -> String {
    let scale = Scale::of(section.unit, tasks);
    let (meaning, kinds) = match section.unit {
        Unit::Time => (
            "time of one call, on a logarithmic scale; shorter is better",
            true,
        ),
        Unit::Count => ("shorter is better", true),
        Unit::Share => ("share of requests answered; longer is better", false),
    };
    let kinds = if kinds {
        "green: module-cache, gray: floor, blue: peers"
    } else {
        "green: module-cache, blue: peers"
    };
    let mut body = String::new();
    let mut y = MARGIN + LINE;
    let text = |body: &mut String, class: &str, y: f64, text: &str| {
        put(
            body,
            format_args!("<text class=\"{class}\" x=\"{MARGIN}\" y=\"{y}\">{text}</text>"),
        );
    };
    text(&mut body, "title", y - 6.0, section.name);
    text(
        &mut body,
        "note",
        y + LINE - 6.0,
        &format!("{meaning} ({kinds})"),
    );
    y += LINE;
    for task in tasks {
        y += LINE + 8.0;
        text(&mut body, "case", y - 6.0, &task.case);
        // Before the bars, so that it does not cross their labels.
        if let Some(floor) = task.floor() {
            let x = NAMES + scale.length(floor.value());
            let rows = task.contenders.iter().map(|_| LINE);
            let end = y + rows.sum::<f64>();
            put(
                &mut body,
                format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{end}\"/>"),
            );
        }
        for contender in &task.contenders {
            bar(&mut body, section.unit, scale, y, contender, task.floor());
            y += LINE;
        }
    }
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n",
        section.name
    )
}

fn bar(
    body: &mut String,
    unit: Unit,
    scale: Scale,
    y: f64,
    contender: &Contender,
    floor: Option<&Contender>,
) {
    let class = match contender {
        _ if contender.is_ours() => "ours",
        _ if contender.is_floor() => "floor",
        _ => "peer",
    };
    let (value, middle) = (contender.value(), y + 15.0);
    let length = scale.length(value);
    let ratio = floor
        .filter(|floor| floor.name != contender.name)
        .map(|floor| {
            let ratio = contender.ratio(floor);
            format!(" = {} × floor", number(ratio.median))
        });
    let label = page::value(unit, value) + &ratio.unwrap_or_default();
    let (names_end, bar_top, bar_height) = (NAMES - 8.0, y + 2.0, LINE - 4.0);
    put(
        body,
        format_args!(
            "<text x=\"{names_end}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{NAMES}\" y=\"{bar_top}\" width=\"{length:.1}\" height=\"{bar_height}\"/>\
             <text class=\"note\" x=\"{:.1}\" y=\"{middle}\">{label}</text>",
            contender.name,
            NAMES + length + 6.0
        ),
    );
}

/// From values to lengths, the same for all panels of a picture.
#[derive(Clone, Copy)]
struct Scale {
    logarithmic: bool,
    least: f64,
    most: f64,
}

impl Scale {
    fn of(unit: Unit, tasks: &[&Task]) -> Self {
        let contenders = tasks.iter().flat_map(|task| &task.contenders);
        let values: Vec<_> = contenders.map(Contender::value).collect();
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let least = values.iter().copied().fold(most, f64::min);
        Self {
            logarithmic: unit == Unit::Time,
            // So that the shortest bar can be seen.
            least: least / 1.5,
            most,
        }
    }

    fn length(self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.least).ln() / (self.most / self.least).ln()
        } else {
            value / self.most
        };
        share * (WIDTH - NAMES - VALUES)
    }
}

fn put(body: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(body, "{what}").unwrap_or_else(|_| unreachable!("a string takes all"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_times_have_longer_bars_and_all_fit() {
        let lines =
            "growth: hit\tfloor: f\t10\ngrowth: hit\tmodule-cache\t100\ngrowth: hit\tp\t1000\n";
        let measurements = Measurements::printed(lines).unwrap();
        let tasks: Vec<_> = measurements.tasks("growth").collect();
        let scale = Scale::of(Unit::Time, &tasks);
        let lengths = [10.0, 100.0, 1000.0].map(|value| scale.length(value));
        assert!(0.0 < lengths[0] && lengths[0] < lengths[1] && lengths[1] < lengths[2]);
        assert!((lengths[2] - (WIDTH - NAMES - VALUES)).abs() < 1e-9);
    }

    #[test]
    fn a_picture_names_every_contender_and_its_ratio() {
        let lines = "growth: hit\tfloor: f\t10\ngrowth: hit\tmodule-cache\t15\n";
        let plots = plots(&Measurements::printed(lines).unwrap());
        let [(name, svg)] = &plots[..] else {
            panic!("{} plots", plots.len());
        };
        assert_eq!(name, "growth.svg");
        assert!(svg.contains("15 ns = 1.50 × floor"), "{svg}");
    }
}
