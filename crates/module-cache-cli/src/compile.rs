//! `module-cache compile`: fills the cache from files and folders.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::ProgressBar;
use module_cache::{
    FallbackExt, FileSystemCache, ModuleHash,
    backend::{EngineId, EntryKey, EntryStore, SaveOutcome, SealedEntry, SkipReason},
    loader::Source,
};
use serde::Serialize;

use crate::args::CompileArgs;
use crate::find_files::{Found, Unusable, find_files};
use crate::hash_function::HashFunction;
use crate::precompiler::Precompiler;
use crate::remote::{self, Layers};
use crate::wasm_file::OpenFile;
use crate::{cache_folder, messages, output, progress, saved, units};

/// Runs the command and returns its exit code: 0 if everything is in the cache now.
///
/// # Errors
///
/// When the cache folder cannot be written to, no remote storage can be named so, or nothing can be printed.
pub(crate) fn compile(args: &CompileArgs) -> Result<u8> {
    let started = Instant::now();
    let config = args.engine_config.read()?;
    let storage = remote::open_to_fill(&args.remote)?;
    let origins = remote::origins(&args.remote)?;
    let folder = if args.world_readable {
        cache_folder::open_world_readable(&args.cache_dir, origins.clone())?
    } else {
        cache_folder::open_writable(&args.cache_dir, origins.clone())?
    };
    let found = find_files(&args.paths);
    note_links(&found);

    let cache = Some(folder.clone()).with_fallback(storage);
    let work = Work {
        precompiler: Precompiler::new(args, config, &cache)?,
        hash: args.hash,
        cache: &cache,
        folder: &folder,
        found: &found,
        next: AtomicUsize::new(0),
        turns: Mutex::default(),
        missing: AtomicUsize::new(0),
    };
    let mut report = Report::new(args.json, found.files.len());
    work.run(jobs(args), &mut report)?;
    let lost = remote::flush(&cache);
    let code = report.finish(&folder, started.elapsed())?;
    if let Some(error) = lost {
        messages::error(format_args!("not everything was uploaded: {error}"));
        return Ok(1);
    }
    let missing = work.missing.into_inner();
    if missing > 0 {
        let entries = match missing {
            1 => "1 entry is".to_owned(),
            count => format!("{count} entries are"),
        };
        let reason = if origins.is_none_or(|origins| origins.can_write()) {
            "the storage is used read-only"
        } else {
            "the key can only verify; name a file with the secret key with --key"
        };
        messages::error(format_args!(
            "{entries} not in the remote storage: {reason}"
        ));
        return Ok(1);
    }
    Ok(code)
}

fn note_links(found: &Found) {
    if let [link, others @ ..] = found.links.as_slice() {
        let more = match others.len() {
            0 => String::new(),
            count => format!("; {count} more links to folders were not followed"),
        };
        messages::note(format_args!(
            "{} is a link to a folder and was not followed{more}",
            link.display()
        ));
    }
}

fn jobs(args: &CompileArgs) -> usize {
    args.jobs.map_or_else(
        || thread::available_parallelism().map_or(1, NonZeroUsize::get),
        usize::from,
    )
}

/// The files, and the threads that take one after the other.
struct Work<'a> {
    precompiler: Precompiler<'a>,
    hash: HashFunction,
    cache: &'a Layers,
    folder: &'a FileSystemCache,
    found: &'a Found,
    next: AtomicUsize,
    turns: Mutex<HashMap<ModuleHash, Arc<Mutex<()>>>>,
    /// Entries that the remote storage lacks and does not take.
    missing: AtomicUsize,
}

impl Work<'_> {
    /// Works on the files with `jobs` threads, and reports each when it is done.
    fn run(&self, jobs: usize, report: &mut Report) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for started in 0..jobs.min(self.found.files.len()) {
                let sender = sender.clone();
                let thread = thread::Builder::new().spawn_scoped(scope, move || self.work(&sender));
                // Fewer threads do as well.
                if started == 0 {
                    thread.context("cannot start a thread")?;
                }
            }
            drop(sender);

            for record in receiver {
                // Where nobody listens any more, the threads end with the file they are at.
                report.print(&record)?;
            }
            Ok(())
        })
    }

    fn work(&self, sender: &Sender<Record>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let (path, outcome) = match self.found.files.get(index) {
                None => break,
                Some(Ok(path)) => (path, self.compile_file(path)),
                Some(Err(Unusable { path, error })) => (path, Err(anyhow!("{error:#}"))),
            };
            let path = path.to_string_lossy().into_owned();
            let record = match outcome {
                Ok(stored) => Record::Stored { path, stored },
                Err(error) => Record::Failed {
                    path,
                    error: messages::one_line(&format!("{error:#}")),
                },
            };
            if sender.send(record).is_err() {
                break;
            }
        }
    }

    fn compile_file(&self, path: &Path) -> Result<Stored> {
        let file = OpenFile::open(path)?.hashed(self.hash, Some(self.folder))?;
        // Files of equal content take turns, or the second would come between code and storage.
        let turn = self.turn(file.hash());
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);

        let code = self.precompiler.precompile(&file)?;
        let key = EntryKey::new(file.hash(), code.engine);
        if let Some(problem) = saved::problem(self.cache, &key, &code.saved) {
            bail!("its code cannot be stored: {problem}");
        }
        let entry = self.folder.get(&key)?;
        let entry = entry.context("its code was stored, but is no longer in the cache")?;
        if !self.is_remote(&key, &entry)? {
            self.missing.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Stored {
            hash: file.hash(),
            engine: code.engine,
            source: code.source,
            elapsed_us: u64::try_from(code.elapsed.as_micros()).unwrap_or(u64::MAX),
            bytes: entry.len(),
        })
    }

    /// Whether the remote storage, if there is one, has the entry or is to get it: `remote::flush` says what failed.
    fn is_remote(&self, key: &EntryKey, entry: &SealedEntry<'_>) -> Result<bool> {
        let Some(storage) = self.cache.fallback() else {
            return Ok(true);
        };
        // What was compiled is on its way already. What was in the folder before may not be there.
        match storage.put(key, entry)? {
            SaveOutcome::Skipped(SkipReason::ReadOnly) => Ok(storage.exists(key)?),
            _ => Ok(true),
        }
    }

    fn turn(&self, hash: ModuleHash) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(hash).or_default())
    }
}

/// What became of a file, as `--json` prints it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Record {
    Stored {
        path: String,
        #[serde(flatten)]
        stored: Stored,
    },
    Failed {
        path: String,
        error: String,
    },
}

#[derive(Debug, Serialize)]
struct Stored {
    #[serde(serialize_with = "output::as_text")]
    hash: ModuleHash,
    #[serde(serialize_with = "output::as_text")]
    engine: EngineId,
    #[serde(serialize_with = "output::as_text")]
    source: Source,
    elapsed_us: u64,
    bytes: u64,
}

/// What is printed while the files are worked on, and what is counted for the end.
struct Report {
    json: bool,
    bar: ProgressBar,
    compiled: usize,
    stored: usize,
    failed: usize,
}

impl Report {
    fn new(json: bool, files: usize) -> Self {
        Self {
            json,
            bar: progress::bar(files as u64, "{bar:30} {pos}/{len} {elapsed} {wide_msg}"),
            compiled: 0,
            stored: 0,
            failed: 0,
        }
    }

    fn print(&mut self, record: &Record) -> Result<()> {
        self.count(record);
        let printed = self.bar.suspend(|| {
            if self.json {
                output::print_json(record)
            } else {
                print_for_people(record)
            }
        });
        let (Record::Stored { path, .. } | Record::Failed { path, .. }) = record;
        self.bar.set_message(messages::one_line(path));
        self.bar.inc(1);
        printed
    }

    fn count(&mut self, record: &Record) {
        match record {
            Record::Failed { .. } => self.failed += 1,
            Record::Stored { stored, .. } => match stored.source {
                Source::Compiled => self.compiled += 1,
                _ => self.stored += 1,
            },
        }
    }

    /// Prints the summary and returns the exit code.
    fn finish(&self, folder: &FileSystemCache, elapsed: Duration) -> Result<u8> {
        self.bar.finish_and_clear();
        if !self.json {
            let summary = format!(
                "{} compiled, {} stored before, {} failed in {:.1} s; the cache is {}",
                self.compiled,
                self.stored,
                self.failed,
                elapsed.as_secs_f64(),
                folder.root().display()
            );
            output::print_line(messages::one_line(&summary).as_bytes())?;
        }
        output::flush()?;
        Ok(u8::from(self.failed > 0))
    }
}

fn print_for_people(record: &Record) -> Result<()> {
    match record {
        Record::Stored { path, stored } => {
            let milliseconds = Duration::from_micros(stored.elapsed_us).as_secs_f64() * 1000.0;
            let size = units::size(stored.bytes);
            let source = stored.source.to_string();
            let line = format!("{source:<8} {milliseconds:>10.3} ms {size:>11}  {path}");
            output::print_line(messages::one_line(&line).as_bytes())
        }
        Record::Failed { path, error } => {
            messages::error(format_args!("{path}: {error}"));
            Ok(())
        }
    }
}
