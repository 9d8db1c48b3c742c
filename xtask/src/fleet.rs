//! `cargo xtask fleet`: hosts that share a storage, by the thousand, in virtual time.
//!
//! What it runs is a program of the remote crate, `fleet`, which drives what hosts really do: the leases, breaker, limits and
//! queues of that crate, and the course of a load of the loader.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use plotters::prelude::*;

use crate::process;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(Clone, Copy, Default, clap::Args)]
pub(crate) struct Options {
    /// Only small fleets with random failures, and nothing is written to the page
    #[arg(long)]
    quick: bool,

    /// Repeat one small fleet
    #[arg(long, conflicts_with = "quick")]
    seed: Option<u64>,
}

/// How many small fleets are made.
const QUICK: u32 = 500;
const THOROUGH: u32 = 5000;

/// How large the large one is.
const HOSTS: u32 = 10_000;

const PAGE: &str = "docs/reliability.md";
const PICTURE: &str = "docs/fleet.svg";
const BEGIN: &str = "<!-- cargo xtask fleet -->\n";

/// The quick part, for `cargo xtask ci`.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let quick = true;
    run(workspace, Options { quick, seed: None })
}

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let program = build(workspace)?;
    let fleet = |arguments: [&str; 2]| {
        let mut command = Command::new(&program);
        command.args(arguments);
        command
    };
    if let Some(seed) = options.seed {
        return process::run(&mut fleet(["check-one", &seed.to_string()]));
    }
    let fleets = if options.quick { QUICK } else { THOROUGH };
    process::run(&mut fleet(["check", &fleets.to_string()]))?;
    if options.quick {
        return Ok(());
    }
    let report = process::capture(&mut fleet(["report", &HOSTS.to_string()]))?;
    let report = String::from_utf8(report)?;
    let is_row = |line: &&str| line.starts_with('|');
    let rows = report.lines().filter(is_row).collect::<Vec<_>>().join(
        "
",
    );
    println!("{rows}");
    write_page(&workspace.root.join(PAGE), &rows)?;
    let curves = report
        .lines()
        .filter_map(|line| line.strip_prefix("curve\t"));
    draw(
        &workspace.root.join(PICTURE),
        &curves.map(Curve::parse).collect::<Result<Vec<_>>>()?,
    )
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let mut build = process::cargo(&workspace.root);
    build.args(["build", "--release", "--package", "module-cache-remote"]);
    build.args(["--features", "simulation", "--example", "fleet"]);
    build.args(["--message-format", "json"]);
    let built = process::executables(&mut build)?.remove("fleet");
    built.context("cargo did not say where the program is")
}

fn write_page(page: &Path, rows: &str) -> Result<()> {
    let text = fs::read_to_string(page)?;
    let Some((before, rest)) = text.split_once(BEGIN) else {
        bail!("{} has no place for the table", page.display());
    };
    let head = rest.lines().skip(1).take(2).collect::<Vec<_>>().join(
        "
",
    );
    let after = rest[1..].find("\n\n").map_or("", |at| &rest[at + 3..]);
    fs::write(page, format!("{before}{BEGIN}\n{head}\n{rows}\n\n{after}"))?;
    Ok(())
}

/// When each hundredth of the hosts had all that it wanted.
struct Curve {
    name: String,
    seconds: Vec<f64>,
}

/// What the picture shows of all scenarios, and with which colour.
const SHOWN: [(&str, RGBColor); 4] = [
    ("S3, 16 partitions", BLUE),
    ("S3, one partition", CYAN),
    ("Redis, 10 Gb/s", GREEN),
    ("refuses all connections", RED),
];

impl Curve {
    fn parse(line: &str) -> Result<Self> {
        let mut fields = line.split('\t');
        Ok(Self {
            name: fields.next().unwrap_or_default().to_owned(),
            seconds: fields.map(str::parse).collect::<Result<_, _>>()?,
        })
    }
}

fn draw(to: &Path, curves: &[Curve]) -> Result<()> {
    let last = curves
        .iter()
        .filter(|curve| SHOWN.iter().any(|shown| shown.0 == curve.name));
    let last = last
        .flat_map(|curve| &curve.seconds)
        .copied()
        .fold(0.0, f64::max);
    let area = SVGBackend::new(to, (720, 360)).into_drawing_area();
    let draw = || -> Result<(), Box<dyn std::error::Error>> {
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(44)
            .build_cartesian_2d(0.0..last, 0.0..100.0)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc("seconds")
            .y_desc("hosts that have all, in %")
            .draw()?;
        for (name, colour) in SHOWN {
            let Some(curve) = curves.iter().find(|curve| curve.name == name) else {
                continue;
            };
            let points = (0_u32..)
                .map(f64::from)
                .zip(&curve.seconds)
                .map(|(percent, time)| (*time, percent));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
        }
        let mut labels = chart.configure_series_labels();
        labels
            .border_style(BLACK)
            .background_style(WHITE)
            .position(SeriesLabelPosition::LowerRight)
            .draw()?;
        area.present()?;
        Ok(())
    };
    draw().map_err(|error| anyhow::anyhow!("cannot draw {}: {error}", to.display()))
}
