//! `module-cache size`: how much the cache takes, in all and for each engine.

use std::path::Path;

use anyhow::Result;
use module_cache::filesystem::Usage;
use serde::Serialize;

use crate::args::SizeArgs;
use crate::{cache_folder, messages, output, units};

/// Runs the command and returns its exit code.
///
/// # Errors
///
/// When the cache folder cannot be read, or nothing can be printed.
pub(crate) fn size(args: &SizeArgs) -> Result<u8> {
    let root = cache_folder::resolve(&args.cache_dir)?;
    let usage = match cache_folder::open_existing(&args.cache_dir)? {
        Some(folder) => folder.usage()?,
        None => Usage::default(),
    };
    messages::note_unknown_files(&usage.unknown_files);
    if args.json {
        output::print_json(&Record::of(&root, &usage))?;
    } else {
        print_for_people(&root, &usage)?;
    }
    output::flush()?;
    Ok(0)
}

/// The whole folder, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    folder: String,
    entries: u64,
    bytes: u64,
    engines: Vec<EngineRecord<'a>>,
    unknown_files: Vec<String>,
}

#[derive(Debug, Serialize)]
struct EngineRecord<'a> {
    engine: &'a str,
    entries: u64,
    bytes: u64,
}

impl<'a> Record<'a> {
    fn of(root: &Path, usage: &'a Usage) -> Self {
        let engines = usage.engines.iter().map(|(engine, usage)| EngineRecord {
            engine,
            entries: usage.entries,
            bytes: usage.bytes,
        });
        Self {
            folder: root.to_string_lossy().into_owned(),
            entries: usage.entries,
            bytes: usage.bytes,
            engines: engines.collect(),
            unknown_files: output::names(&usage.unknown_files),
        }
    }
}

fn print_for_people(root: &Path, usage: &Usage) -> Result<()> {
    let print = |bytes, entries: u64, of: &dyn std::fmt::Display| {
        let size = units::size(bytes);
        let entries = units::entries(entries);
        let line = format!("{size:>11}  {entries:<11}  {of}");
        output::print_line(messages::one_line(&line).as_bytes())
    };
    for (engine, usage) in &usage.engines {
        print(usage.bytes, usage.entries, engine)?;
    }
    print(
        usage.bytes,
        usage.entries,
        &format_args!("in {}", root.display()),
    )
}
