//! `module-cache prune`: makes the cache smaller, and clears away what dead processes left.

use anyhow::Result;
use module_cache::filesystem::{PruneOptions, PruneReport};
use serde::Serialize;

use crate::args::PruneArgs;
use crate::{cache_folder, messages, output, units};

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
    messages::note_unknown_files(&report.unknown_files);
    if args.json {
        output::print_json(&Record::of(&report, args.dry_run))?;
    } else {
        print_for_people(&report, args.dry_run)?;
    }
    output::flush()?;
    if report.stuck > 0 {
        let entries = units::entries(report.stuck);
        messages::error(format_args!(
            "cannot remove {entries} that exceed the limits"
        ));
        return Ok(1);
    }
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
    stuck: u64,
    stale_files: u64,
    unknown_files: Vec<String>,
}

impl Record {
    fn of(report: &PruneReport, dry_run: bool) -> Self {
        Self {
            dry_run,
            removed: report.removed,
            removed_bytes: report.removed_bytes,
            kept: report.kept,
            kept_bytes: report.kept_bytes,
            stuck: report.stuck,
            stale_files: report.stale_files,
            unknown_files: output::names(&report.unknown_files),
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
        units::stale_files(report.stale_files),
        units::entries(report.kept),
        units::size(report.kept_bytes),
    );
    output::print_line(line.as_bytes())
}
