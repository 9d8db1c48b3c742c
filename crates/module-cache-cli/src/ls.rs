//! `module-cache ls`: one line for each entry.

use std::cmp::Reverse;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use module_cache::{ModuleHash, backend::ListedEntry};
use serde::Serialize;

use crate::args::{LsArgs, SortKey};
use crate::selection::of_engine;
use crate::{cache_folder, messages, output, units};

/// Runs the command and returns its exit code.
///
/// # Errors
///
/// When the cache folder cannot be read, or nothing can be printed.
pub(crate) fn ls(args: &LsArgs) -> Result<u8> {
    let Some(folder) = cache_folder::open_existing(&args.cache_dir)? else {
        return Ok(0);
    };
    let mut entries = of_engine(folder.list()?, &args.engine);
    if let Some(engine) = &args.engine.engine
        && entries.is_empty()
    {
        messages::note(format_args!("the cache has no entries of engine {engine}"));
    }
    sort(&mut entries, args.sort);
    let now = SystemTime::now();
    for entry in &entries {
        if args.json {
            output::print_json(&Record::of(entry))?;
        } else {
            print_for_people(entry, now)?;
        }
    }
    output::flush()?;
    Ok(0)
}

fn sort(entries: &mut [ListedEntry], by: SortKey) {
    entries.sort_unstable_by(|a, b| (&a.engine, a.hash).cmp(&(&b.engine, b.hash)));
    match by {
        SortKey::Use => entries.sort_by_key(|entry| Reverse(entry.last_use)),
        SortKey::Size => entries.sort_by_key(|entry| Reverse(entry.bytes)),
        SortKey::Age => entries.sort_by_key(|entry| entry.stored),
    }
}

/// An entry, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Record<'a> {
    #[serde(serialize_with = "output::as_text")]
    hash: ModuleHash,
    engine: &'a str,
    bytes: u64,
    stored: u64,
    last_use: u64,
}

impl<'a> Record<'a> {
    fn of(entry: &'a ListedEntry) -> Self {
        Self {
            hash: entry.hash,
            engine: &entry.engine,
            bytes: entry.bytes,
            stored: since_1970(entry.stored),
            last_use: since_1970(entry.last_use),
        }
    }
}

fn since_1970(time: Option<SystemTime>) -> u64 {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.unwrap_or_default().as_secs()
}

fn print_for_people(entry: &ListedEntry, now: SystemTime) -> Result<()> {
    // What the clock says will be is now.
    let ago = |time: Option<SystemTime>| {
        let ago = time.and_then(|time| now.duration_since(time).ok());
        units::age(ago.unwrap_or_default())
    };
    let line = format!(
        "{:>5} {:>11} {:>5}  {}  {}",
        ago(entry.last_use),
        units::size(entry.bytes),
        ago(entry.stored),
        entry.engine,
        entry.hash
    );
    output::print_line(messages::one_line(&line).as_bytes())
}
