//! `module-cache export`: writes entries to a bundle.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use module_cache::{
    CacheError, FileSystemCache, ModuleHash, backend::ListedEntry, filesystem::ExportReport,
};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::args::ExportArgs;
use crate::selection::{Place, Selection};
use crate::{cache_folder, keys, messages, output, units};

/// Runs the command and returns its exit code: 0 if the bundle has all that was asked for.
///
/// # Errors
///
/// When the cache cannot be read, there is nothing to export, or the bundle cannot be written.
pub(crate) fn export(args: &ExportArgs) -> Result<u8> {
    let to_stdout = args.output == Path::new("-");
    if to_stdout && io::stdout().is_terminal() {
        bail!("a bundle is not text, and standard output is a terminal; name a file with -o");
    }
    let trust = keys::trust(&args.trust)?;
    let folder = cache_folder::open_existing(&args.cache_dir)?;
    let entries = folder.as_ref().map(FileSystemCache::list).transpose()?;
    let selection = Selection::of(Place::Folder, entries.unwrap_or_default(), &args.select);
    for problem in &selection.problems {
        messages::error(problem);
    }
    if !selection.problems.is_empty() {
        return Ok(1);
    }
    let Some(folder) = folder.filter(|_| !selection.entries.is_empty()) else {
        bail!("the cache is empty, so there is nothing to export");
    };

    let keys = selection.entries.iter().map(key).collect::<HashSet<_>>();
    let write =
        |out: &mut dyn Write| folder.export(&|entry| keys.contains(&key(entry)), &trust, out);
    let report = if to_stdout {
        output::write_by(write)?
    } else {
        to_file(&args.output, write)?
    };
    finish(args, &report, to_stdout)
}

fn key(entry: &ListedEntry) -> (&str, ModuleHash) {
    (&entry.engine, entry.hash)
}

/// Writes a file that has its name only when it is whole.
fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<ExportReport, CacheError>,
) -> Result<ExportReport> {
    let context = || format!("cannot write {}", path.display());
    let target = target(path).with_context(context)?;
    if target.metadata().is_ok_and(|found| !found.is_file()) {
        // A pipe or a device, whose name belongs to it.
        let mut file = fs::File::options()
            .write(true)
            .open(&target)
            .with_context(context)?;
        return write(&mut file).with_context(context);
    }
    let mut file = temporary_beside(&target).with_context(context)?;
    let mut buffer = BufWriter::new(&mut file);
    let report = write(&mut buffer).with_context(context)?;
    buffer.flush().with_context(context)?;
    drop(buffer);
    if report.entries == 0 {
        // Whoever finds the file would take it for a bundle of something.
        return Ok(report);
    }
    file.as_file().sync_all().with_context(context)?;
    file.persist(&target).with_context(context)?;
    Ok(report)
}

/// The file that is meant, where the path leads there by links.
fn target(path: &Path) -> io::Result<PathBuf> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        target => target,
    }
}

fn temporary_beside(target: &Path) -> io::Result<NamedTempFile> {
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".module-cache-").suffix(".part");
    // As for any file: what others may do is said by the umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// What was left out, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Skipped<'a> {
    path: String,
    reason: &'a str,
}

/// What was done, as `--json` prints it in the end.
#[derive(Debug, Serialize)]
struct Summary {
    entries: u64,
    bytes: u64,
    skipped: usize,
}

/// Prints the report and returns the exit code.
fn finish(args: &ExportArgs, report: &ExportReport, to_stdout: bool) -> Result<u8> {
    for (path, reason) in &report.skipped {
        let path = path.to_string_lossy().into_owned();
        if args.json {
            output::print_json(&Skipped { path, reason })?;
        } else {
            messages::error(format_args!("{path}: {reason}; it is not in the bundle"));
        }
    }
    if report.entries == 0 {
        messages::error("nothing could be exported, so there is no bundle");
    }
    let summary = format!(
        "exported {} ({})",
        units::entries(report.entries),
        units::size(report.bytes)
    );
    if args.json {
        output::print_json(&Summary {
            entries: report.entries,
            bytes: report.bytes,
            skipped: report.skipped.len(),
        })?;
    } else if to_stdout {
        messages::note(summary);
    } else {
        output::print_line(summary.as_bytes())?;
    }
    output::flush()?;
    Ok(u8::from(!report.skipped.is_empty() || report.entries == 0))
}
