//! `module-cache clean`: removes entries, some or all.

use anyhow::Result;
use module_cache::{FileSystemCache, filesystem::PruneOptions};
use serde::Serialize;

use crate::args::CleanArgs;
use crate::selection::{Place, Problem, Selection};
use crate::{cache_folder, messages, output, units};

/// Runs the command and returns its exit code: 0 if everything that was named was there.
///
/// # Errors
///
/// When the cache folder cannot be written to, or nothing can be printed.
pub(crate) fn clean(args: &CleanArgs) -> Result<u8> {
    let folder = cache_folder::open_existing(&args.cache_dir)?;
    let (removed, problems) = if args.select.is_all() {
        let removed = folder.as_ref().map(remove_all).transpose()?;
        (removed.unwrap_or_default(), Vec::new())
    } else {
        remove_selected(folder.as_ref(), args)?
    };
    for problem in &problems {
        report(problem, args.json)?;
    }
    if args.json {
        output::print_json(&removed)?;
    } else {
        let line = format!(
            "removed {} ({}) and {}",
            units::entries(removed.removed),
            units::size(removed.removed_bytes),
            units::stale_files(removed.stale_files)
        );
        output::print_line(line.as_bytes())?;
    }
    output::flush()?;
    Ok(u8::from(!problems.is_empty()))
}

/// What was done, as `--json` prints it in the end.
#[derive(Debug, Default, Serialize)]
struct Summary {
    removed: u64,
    removed_bytes: u64,
    stale_files: u64,
}

fn remove_all(folder: &FileSystemCache) -> Result<Summary> {
    let report = folder.prune(&PruneOptions {
        max_size: Some(0),
        ..PruneOptions::default()
    })?;
    messages::note_unknown_files(&report.unknown_files);
    Ok(Summary {
        removed: report.removed,
        removed_bytes: report.removed_bytes,
        stale_files: report.stale_files,
    })
}

fn remove_selected(
    folder: Option<&FileSystemCache>,
    args: &CleanArgs,
) -> Result<(Summary, Vec<Problem>)> {
    let entries = folder.map(FileSystemCache::list).transpose()?;
    let selection = Selection::of(Place::Folder, entries.unwrap_or_default(), &args.select);
    let mut removed = Summary::default();
    for entry in &selection.entries {
        let freed = folder.map_or(Ok(0), |folder| folder.remove_listed(entry))?;
        removed.removed += u64::from(freed > 0);
        removed.removed_bytes += freed;
    }
    Ok((removed, selection.problems))
}

fn report(problem: &Problem, json: bool) -> Result<()> {
    if json {
        return output::print_json(problem);
    }
    messages::error(problem);
    Ok(())
}
