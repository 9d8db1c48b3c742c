//! Copying entries between the cache folder and a remote storage: several at a time, with a progress bar, and
//! a report in the end. What is the same for `push` and `pull`.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use module_cache::{
    CacheError, ModuleHash,
    backend::{ListedEntry, SaveOutcome, SkipReason},
};
use serde::Serialize;

use crate::{messages, output, progress, units};

/// So many entries are on their way at a time: more than one, because a storage is far away.
const JOBS: usize = 4;

/// What became of an entry.
#[derive(Debug)]
pub(crate) enum Copied {
    Stored {
        bytes: u64,
    },
    /// It was there before.
    Present,
    Failed(String),
    /// It failed, and so would all that are left: the storage does not work, or has no room.
    Stopped(String),
}

/// What was copied so far.
pub(crate) struct Transfer(Report);

impl Transfer {
    pub(crate) fn new(json: bool) -> Self {
        Self(Report::new(json))
    }

    /// Copies entries by `copy`.
    ///
    /// # Errors
    ///
    /// When nothing can be printed.
    pub(crate) fn run(
        &mut self,
        entries: &[ListedEntry],
        copy: impl Fn(&ListedEntry) -> Copied + Sync,
    ) -> Result<()> {
        let work = Work {
            entries,
            copy,
            next: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        };
        self.0.expect(entries.len());
        work.run(&mut self.0)
    }

    /// Whether more need not be tried.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stopped.is_some()
    }

    /// Says that they were `done`, and returns the exit code.
    ///
    /// # Errors
    ///
    /// When nothing can be printed.
    pub(crate) fn finish(self, done: &str) -> Result<u8> {
        self.0.finish(done)
    }
}

impl From<SaveOutcome> for Copied {
    fn from(outcome: SaveOutcome) -> Self {
        match outcome {
            SaveOutcome::Stored { bytes } => Self::Stored { bytes },
            SaveOutcome::Skipped(SkipReason::AlreadyStored) => Self::Present,
            SaveOutcome::Skipped(
                reason @ (SkipReason::ReadOnly | SkipReason::Unreachable | SkipReason::NoSpace),
            ) => Self::Stopped(reason.to_string()),
            SaveOutcome::Skipped(reason) => Self::Failed(reason.to_string()),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn text_of(error: &CacheError) -> String {
    messages::one_line(&messages::with_causes(error))
}

struct Work<'a, C> {
    entries: &'a [ListedEntry],
    copy: C,
    next: AtomicUsize,
    stopped: AtomicBool,
}

impl<C: Fn(&ListedEntry) -> Copied + Sync> Work<'_, C> {
    fn run(&self, report: &mut Report) -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for started in 0..JOBS.min(self.entries.len()) {
                let sender = sender.clone();
                let thread = thread::Builder::new().spawn_scoped(scope, move || self.work(&sender));
                // Fewer threads do as well.
                if started == 0 {
                    thread.context("cannot start a thread")?;
                }
            }
            drop(sender);

            for (at, copied) in receiver {
                // Where nobody listens any more, the threads end with the entry they are at.
                report.print(at, &self.entries[at], copied)?;
            }
            Ok(())
        })
    }

    fn work(&self, sender: &Sender<(usize, Copied)>) {
        while !self.stopped.load(Ordering::Relaxed) {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = self.entries.get(at) else {
                break;
            };
            let copied = (self.copy)(entry);
            if matches!(copied, Copied::Stopped(_)) {
                self.stopped.store(true, Ordering::Relaxed);
            }
            if sender.send((at, copied)).is_err() {
                break;
            }
        }
    }
}

/// An entry that was not copied, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    engine: &'a str,
    #[serde(serialize_with = "output::as_text")]
    hash: ModuleHash,
    error: &'a str,
}

/// What was done, as `--json` prints it in the end.
#[derive(Debug, Default, Serialize)]
struct Summary {
    stored: u64,
    present: u64,
    bytes: u64,
    failed: u64,
}

/// What is printed while entries are copied, and what is counted for the end.
struct Report {
    json: bool,
    bar: ProgressBar,
    left: u64,
    /// Which entry was the first that could not be copied for a reason that holds for all, and that reason.
    stopped: Option<(usize, String)>,
    summary: Summary,
}

impl Report {
    fn new(json: bool) -> Self {
        Self {
            json,
            bar: progress::bar(0, "{bar:30} {pos}/{len} {elapsed} {msg}"),
            left: 0,
            stopped: None,
            summary: Summary::default(),
        }
    }

    /// There are so many more.
    fn expect(&mut self, entries: usize) {
        self.left += entries as u64;
        self.bar.inc_length(entries as u64);
    }

    fn print(&mut self, at: usize, entry: &ListedEntry, copied: Copied) -> Result<()> {
        let summary = &mut self.summary;
        let printed = match copied {
            Copied::Stored { bytes } => {
                summary.stored += 1;
                summary.bytes += bytes;
                self.bar.set_message(units::size(summary.bytes));
                Ok(())
            }
            Copied::Present => {
                summary.present += 1;
                Ok(())
            }
            Copied::Failed(error) => {
                summary.failed += 1;
                self.bar.suspend(|| print_failure(entry, &error, self.json))
            }
            Copied::Stopped(error) => {
                // Those behind it were begun later, and may know only that the storage failed before.
                if self.stopped.as_ref().is_none_or(|(first, _)| at < *first) {
                    self.stopped = Some((at, error));
                }
                return Ok(());
            }
        };
        self.left -= 1;
        self.bar.inc(1);
        printed
    }

    /// Prints the summary and returns the exit code.
    fn finish(mut self, done: &str) -> Result<u8> {
        self.bar.finish_and_clear();
        if let Some((_, error)) = &self.stopped {
            messages::error(format_args!(
                "{error}; {} not copied; repeat the command to copy the rest",
                match self.left {
                    1 => "1 entry was".to_owned(),
                    left => format!("{left} entries were"),
                }
            ));
            self.summary.failed += self.left;
        }
        let summary = &self.summary;
        if self.json {
            output::print_json(summary)?;
        } else {
            let line = format!(
                "{done} {} ({}); {} present before, {} failed",
                units::entries(summary.stored),
                units::size(summary.bytes),
                summary.present,
                summary.failed
            );
            output::print_line(line.as_bytes())?;
        }
        output::flush()?;
        Ok(u8::from(summary.failed > 0))
    }
}

fn print_failure(entry: &ListedEntry, error: &str, json: bool) -> Result<()> {
    let (engine, hash) = (entry.engine.as_str(), entry.hash);
    if json {
        return output::print_json(&Failure {
            engine,
            hash,
            error,
        });
    }
    messages::error(format_args!("{engine}/{hash}: {error}"));
    Ok(())
}
