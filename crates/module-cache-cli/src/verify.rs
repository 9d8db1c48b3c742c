//! `module-cache verify`: compares everything that is stored with its checksum.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use module_cache::{
    FileSystemCache,
    filesystem::{Fault, VerifyReport},
};
use serde::Serialize;

use crate::args::VerifyArgs;
use crate::{cache_folder, messages, output, progress, units};

/// Runs the command and returns its exit code: 0 if nothing is wrong, or is any more.
///
/// # Errors
///
/// When the cache folder cannot be read, or nothing can be printed.
pub(crate) fn verify(args: &VerifyArgs) -> Result<u8> {
    let root = cache_folder::resolve(&args.cache_dir)?;
    let folder = cache_folder::open_existing(&args.cache_dir)?;
    let (report, elapsed) = match &folder {
        Some(folder) => with_progress(folder, args.repair)?,
        None => Default::default(),
    };

    let summary = Summary::of(&report, elapsed);
    if args.json {
        for fault in &report.faults {
            output::print_json(&Record::of(fault))?;
        }
        output::print_json(&summary)?;
    } else {
        for fault in &report.faults {
            // What is still there is what fails the command.
            if fault.removed {
                messages::warning(fault);
            } else {
                messages::error(fault);
            }
        }
        summary.print_for_people(&root, elapsed)?;
    }
    output::flush()?;
    Ok(u8::from(summary.faults > summary.removed))
}

fn with_progress(folder: &FileSystemCache, repair: bool) -> Result<(VerifyReport, Duration)> {
    let total = folder.list()?.iter().map(|entry| entry.bytes).sum();
    let bar = progress::bar(
        total,
        "{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {elapsed}",
    );
    let started = Instant::now();
    let report = folder.verify(repair, &|bytes| bar.inc(bytes));
    let elapsed = started.elapsed();
    bar.finish_and_clear();
    Ok((report?, elapsed))
}

/// What is wrong with an entry, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    path: String,
    reason: &'a str,
    removed: bool,
}

impl<'a> Record<'a> {
    fn of(fault: &'a Fault) -> Self {
        Self {
            path: fault.path.to_string_lossy().into_owned(),
            reason: &fault.reason,
            removed: fault.removed,
        }
    }
}

/// What was done, as `--json` prints it in the end.
#[derive(Debug, Serialize)]
struct Summary {
    entries: u64,
    bytes: u64,
    faults: usize,
    removed: usize,
    elapsed_us: u64,
    bytes_per_second: u64,
}

impl Summary {
    fn of(report: &VerifyReport, elapsed: Duration) -> Self {
        let microseconds = elapsed.as_micros().max(1);
        let rate = u128::from(report.bytes) * 1_000_000 / microseconds;
        Self {
            entries: report.entries,
            bytes: report.bytes,
            faults: report.faults.len(),
            removed: report.faults.iter().filter(|fault| fault.removed).count(),
            elapsed_us: u64::try_from(microseconds).unwrap_or(u64::MAX),
            bytes_per_second: u64::try_from(rate).unwrap_or(u64::MAX),
        }
    }

    fn print_for_people(&self, root: &Path, elapsed: Duration) -> Result<()> {
        let wrong = match (self.faults, self.removed) {
            (0, _) => "nothing is wrong".to_owned(),
            (faults, 0) => format!("{faults} faulty"),
            (faults, removed) => format!("{faults} faulty, {removed} removed"),
        };
        let line = format!(
            "{wrong}: {}, {} in {:.1} s, {}/s; the cache is {}",
            units::entries(self.entries),
            units::size(self.bytes),
            elapsed.as_secs_f64(),
            units::size(self.bytes_per_second),
            root.display()
        );
        output::print_line(messages::one_line(&line).as_bytes())
    }
}
