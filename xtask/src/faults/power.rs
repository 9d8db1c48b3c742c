//! Loss of power: what of an operation reached the device when it stopped, at each of its system calls.
//!
//! A file system in a file is copied while it is mounted, just when the operation was killed. The copy is what a machine
//! finds that lost power then: what the file system had not written is not in it. It is mounted, which recovers it, and
//! checked.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use super::calls::{self, Call};
use super::image::{KINDS, Kind};
use super::{Row, Subject};
use crate::process;

/// System calls that change what is on a disk, or bring it there. Between them nothing does.
const CHANGES: [&str; 10] = [
    "openat",
    "mkdirat",
    "fallocate",
    "write",
    "pwrite64",
    "fchmod",
    "fsync",
    "renameat",
    "renameat2",
    "unlinkat",
];

/// An operation on a folder that is full, and every how many of its calls the power goes: eight saves are many calls.
const OPERATIONS: [(&str, usize); 2] = [("saves", 3), ("prune", 1)];

pub(super) fn run(subject: &Subject, scratch: &Path) -> Result<Vec<Row>> {
    process::require("mkfs.ext4", "-V", "e2fsprogs")?;
    process::require("mkfs.xfs", "-V", "xfsprogs")?;
    process::require("mkfs.btrfs", "-V", "btrfs-progs")?;
    let mut rows = Vec::new();
    for kind in &KINDS {
        let base = scratch.join("base");
        let mounted = scratch.join("mounted");
        kind.make(&base)?;
        {
            let mounted = kind.mount(&base, &mounted)?;
            subject.prepare(&mounted.path().join("cache"), "prepare-full")?;
        }
        for (operation, every) in OPERATIONS {
            let row = lose_power(subject, kind, operation, every, scratch)?;
            eprintln!("{}: {} times", row.what, row.tried);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn lose_power(
    subject: &Subject,
    kind: &Kind,
    operation: &str,
    every: usize,
    scratch: &Path,
) -> Result<Row> {
    let mut row = Row {
        what: format!("power lost during {operation} on {}", kind.name),
        tried: 0,
        broken: Vec::new(),
    };
    let (base, work, crashed, at) = (
        scratch.join("base"),
        scratch.join("work"),
        scratch.join("crashed"),
        scratch.join("mounted"),
    );
    copy(&base, &work)?;
    let mounted = kind.mount(&work, &at)?;
    let calls = calls::of(subject, operation, &mounted.path().join("cache"))?;
    drop(mounted);
    let changes: Vec<_> = calls
        .iter()
        .filter(|call| CHANGES.contains(&&call.name[..]))
        .collect();
    // And when it is done, after which nothing is stopped.
    let stops = changes.iter().step_by(every).map(|call| Some(*call));
    for stop in stops.chain([None]) {
        copy(&base, &work)?;
        let mounted = kind.mount(&work, &at)?;
        let root = mounted.path().join("cache");
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-o", "/dev/null"]);
        if let Some(Call { name, number }) = stop {
            strace.arg("-e").arg(format!("trace={name}"));
            strace
                .arg("-e")
                .arg(format!("inject={name}:signal=SIGKILL:when={number}"));
        }
        strace.arg(&subject.program).arg(&root).arg(operation);
        let ended = strace.stdin(Stdio::null()).output()?.status.success();
        ensure!(
            ended == stop.is_none(),
            "{operation} did not stop where it should"
        );
        copy(&work, &crashed)?;
        drop(mounted);
        let mounted = kind.mount(&crashed, &at)?;
        row.tried += 1;
        if let Some(why) = subject.ask(&mounted.path().join("cache"), "check-after-crash")? {
            let stop = stop.map_or(String::new(), |call| {
                format!(" at {} {}", call.name, call.number)
            });
            row.broken.push(format!("{}{stop}: {why}", row.what));
        }
        drop(mounted);
    }
    ensure!(row.tried > 5, "the operation {operation} changed nothing");
    for file in [work, crashed] {
        fs::remove_file(file)?;
    }
    Ok(row)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut cp = Command::new("cp");
    process::capture(cp.arg("--sparse=always").arg(from).arg(to))?;
    Ok(())
}
