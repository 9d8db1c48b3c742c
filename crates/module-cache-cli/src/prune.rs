//! `module-cache prune`: makes the cache smaller, and clears away what dead processes left.

use anyhow::Result;
use module_cache::{PruneOptions, PruneReport};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::{cache_folder, foreign, json, output, units};

/// Runs the command and returns its exit code.
///
/// # Errors
///
/// When the cache folder cannot be written to, or nothing can be printed.
pub(crate) fn prune(args: &PruneArgs) -> Result<u8> {
    let options = PruneOptions {
        max_size: args.max_size,
        max_age: args.max_age,
        dry_run: args.dry_run,
    };
    let report = match cache_folder::open_existing(&args.cache_dir)? {
        Some(folder) => folder.prune(&options)?,
        None => PruneReport::default(),
    };
    foreign::note(&report.foreign);
    if args.json {
        json::print(&Record::of(&report, args.dry_run))?;
    } else {
        print_for_people(&report, args.dry_run)?;
    }
    output::flush()?;
    Ok(0)
}

/// What was done, or would be, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Record {
    dry_run: bool,
    removed: u64,
    removed_bytes: u64,
    kept: u64,
    kept_bytes: u64,
    leftovers: u64,
    foreign: Vec<String>,
}

impl Record {
    fn of(report: &PruneReport, dry_run: bool) -> Self {
        Self {
            dry_run,
            removed: report.removed,
            removed_bytes: report.removed_bytes,
            kept: report.kept,
            kept_bytes: report.kept_bytes,
            leftovers: report.leftovers,
            foreign: foreign::names(&report.foreign),
        }
    }
}

fn print_for_people(report: &PruneReport, dry_run: bool) -> Result<()> {
    let (remove, keep) = if dry_run {
        ("would remove", "keep")
    } else {
        ("removed", "kept")
    };
    let line = format!(
        "{remove} {} ({}) and {}; {keep} {} ({})",
        units::entries(report.removed),
        units::size(report.removed_bytes),
        units::leftovers(report.leftovers),
        units::entries(report.kept),
        units::size(report.kept_bytes),
    );
    output::print_line(line.as_bytes())
}
