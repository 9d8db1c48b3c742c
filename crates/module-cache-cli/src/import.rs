//! `module-cache import`: stores the entries of a bundle.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, IsTerminal, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use module_cache::filesystem::{ImportReport, Refused};
use serde::Serialize;

use crate::args::ImportArgs;
use crate::{cache_folder, keys, messages, output, units};

/// Runs the command and returns its exit code: 0 if all that is in the bundle is in the cache now.
///
/// # Errors
///
/// When the bundle cannot be read or is none, or the cache cannot be written to.
pub(crate) fn import(args: &ImportArgs) -> Result<u8> {
    let trust = keys::trust(&args.trust)?;
    let (name, mut bundle) = open(&args.file)?;
    let folder = cache_folder::open_writable(&args.cache_dir, None)?;
    let report = folder.import(&mut *bundle, &trust).context(name.clone())?;
    finish(args, &name, &report)
}

/// What the bundle is called, and its bytes.
fn open(path: &Path) -> Result<(String, Box<dyn Read>)> {
    if path == Path::new("-") {
        if io::stdin().is_terminal() {
            bail!("standard input is a terminal; pipe a bundle into it, or name a file");
        }
        return Ok(("standard input".to_owned(), Box::new(io::stdin().lock())));
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow!("no such file; check its name"),
        _ => anyhow::Error::from(error).context("cannot be opened"),
    });
    let file = file.with_context(|| name.clone())?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("{name}: a folder; name a bundle that `module-cache export` wrote");
    }
    Ok((name, Box::new(BufReader::new(file))))
}

/// What was refused, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    member: &'a str,
    reason: &'a str,
}

/// What was done, as `--json` prints it in the end.
#[derive(Debug, Serialize)]
struct Summary {
    stored: u64,
    present: u64,
    bytes: u64,
    refused: u64,
}

/// Prints the report and returns the exit code.
fn finish(args: &ImportArgs, name: &str, report: &ImportReport) -> Result<u8> {
    for Refused { member, reason, .. } in &report.refused {
        if args.json {
            output::print_json(&Record { member, reason })?;
        } else {
            messages::error(format_args!("{name}: {member} was refused: {reason}"));
        }
    }
    let refused = report.refused.len() as u64 + report.unlisted;
    if report.unlisted > 0 && !args.json {
        let more = report.unlisted;
        messages::error(format_args!("{name}: {more} more were refused"));
    }
    if args.json {
        output::print_json(&Summary {
            stored: report.stored,
            present: report.present,
            bytes: report.bytes,
            refused,
        })?;
    } else {
        let line = format!(
            "imported {} ({}); {} present before, {} refused",
            units::entries(report.stored),
            units::size(report.bytes),
            report.present,
            refused
        );
        output::print_line(line.as_bytes())?;
    }
    output::flush()?;
    Ok(u8::from(refused > 0))
}
