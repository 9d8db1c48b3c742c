//! `module-cache size`: how much the cache takes, in all and for each engine, and how much it may.

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
    let folder = match args.max_size {
        Some(max_size) => Some(cache_folder::open_with_limit(&args.cache_dir, max_size)?),
        None => cache_folder::open_existing(&args.cache_dir)?,
    };
    let (usage, max_size) = match folder {
        Some(folder) => (folder.usage()?, Some(folder.max_size()?)),
        None => (Usage::default(), None),
    };
    messages::note_unknown_files(&usage.unknown_files);
    if args.json {
        output::print_json(&Record::of(&root, &usage, max_size))?;
    } else {
        print_for_people(&root, &usage, max_size)?;
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
    max_size: Option<u64>,
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
    fn of(root: &Path, usage: &'a Usage, max_size: Option<u64>) -> Self {
        let engines = usage.engines.iter().map(|(engine, usage)| EngineRecord {
            engine,
            entries: usage.entries,
            bytes: usage.bytes,
        });
        Self {
            folder: root.to_string_lossy().into_owned(),
            entries: usage.entries,
            bytes: usage.bytes,
            max_size,
            engines: engines.collect(),
            unknown_files: output::names(&usage.unknown_files),
        }
    }
}

fn print_for_people(root: &Path, usage: &Usage, max_size: Option<u64>) -> Result<()> {
    let print = |bytes, entries: u64, of: &dyn std::fmt::Display| {
        let size = units::size(bytes);
        let entries = units::entries(entries);
        let line = format!("{size:>11}  {entries:<11}  {of}");
        output::print_line(messages::one_line(&line).as_bytes())
    };
    for (engine, usage) in &usage.engines {
        print(usage.bytes, usage.entries, engine)?;
    }
    let limit = max_size.map_or(String::new(), |max_size| {
        format!(", limited to {}", units::size(max_size))
    });
    print(
        usage.bytes,
        usage.entries,
        &format_args!("in {}{limit}", root.display()),
    )
}
