//! Every system call of an operation: killed there, and failed there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Row, Subject};

/// An operation, what it is done to, and what must be there afterwards.
struct Operation {
    name: &'static str,
    command: &'static str,
    prepare: &'static str,
    check: &'static str,
    /// Whether it finds what it looks for.
    finds: bool,
    /// Whether it is done where it was prepared, and not in a copy: copies are files that nobody has seen before.
    in_place: bool,
}

const OPERATIONS: [Operation; 8] = [
    operation("save", "save", "prepare", "check"),
    operation("save that makes room", "save", "prepare-full", "check-any"),
    operation("first load", "load", "prepare", "check"),
    Operation {
        in_place: true,
        ..operation("load", "load", "prepare", "check")
    },
    Operation {
        finds: false,
        ..operation(
            "load of a damaged entry",
            "load",
            "prepare-damaged",
            "check-but-1",
        )
    },
    operation("remove", "remove", "prepare", "check-but-1"),
    operation("prune", "prune", "prepare-full", "check-any"),
    operation("import", "import", "prepare", "check"),
];

const fn operation(
    name: &'static str,
    command: &'static str,
    prepare: &'static str,
    check: &'static str,
) -> Operation {
    Operation {
        name,
        command,
        prepare,
        check,
        finds: true,
        in_place: false,
    }
}

/// The first two are quick, and find most.
const ERRORS: [&str; 7] = [
    "EIO", "EINTR", "ENOSPC", "EDQUOT", "EMFILE", "ENOMEM", "EACCES",
];

/// Where there is no memory, a program in Rust ends. What a system does not fail is left alone, too.
const NEVER_FAIL: [&str; 15] = [
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "futex",
    "exit_group",
    "rt_sigaction",
    "rt_sigprocmask",
    "sigaltstack",
    "getppid",
    "geteuid",
    "clock_gettime",
    "getrandom",
];

pub(super) fn run(subject: &Subject, scratch: &Path, quick: bool) -> Result<Vec<Row>> {
    let errors = if quick { &ERRORS[..2] } else { &ERRORS };
    // Each operation has a folder of its own, and two are done at a time.
    let attack = |operation: &Operation| {
        let prepared = scratch.join(operation.name.replace(' ', "-"));
        subject.prepare(&prepared, operation.prepare)?;
        if operation.in_place {
            // Old enough to be remembered as verified.
            thread::sleep(Duration::from_millis(2200));
            subject.prepare(&prepared, "load")?;
        } else {
            // Of no use to a copy, and large.
            fs::remove_file(prepared.join("v1/hints"))?;
        }
        let folder = Folder {
            copy: prepared.with_extension("copy"),
            prepared,
            in_place: operation.in_place,
        };
        attack(subject, operation, &folder, errors)
    };
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Row)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(operation) = OPERATIONS.get(at) else {
                return Ok(done);
            };
            done.push((at, attack(operation)?));
        }
    };
    let mut done = thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut done = work()?;
        done.extend(other.join().expect("a thread of this program panicked")?);
        anyhow::Ok(done)
    })?;
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, row)| row).collect())
}

struct Folder {
    prepared: PathBuf,
    copy: PathBuf,
    in_place: bool,
}

impl Folder {
    /// Where the operation is done next.
    fn fresh(&self) -> Result<&Path> {
        if self.in_place {
            return Ok(&self.prepared);
        }
        let _ = fs::remove_dir_all(&self.copy);
        copy(&self.prepared, &self.copy)?;
        Ok(&self.copy)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn attack(
    subject: &Subject,
    operation: &Operation,
    folder: &Folder,
    errors: &[&str],
) -> Result<Row> {
    let calls = of(subject, operation.command, folder.fresh()?)?;
    ensure!(calls.len() > 4, "{} makes no system calls", operation.name);
    let mut row = Row {
        what: operation.name.to_owned(),
        tried: 0,
        broken: Vec::new(),
    };
    for Call { name, number } in &calls {
        let mut attempt = |fault: &str| -> Result<()> {
            let root = folder.fresh()?;
            row.tried += 1;
            if let Some(why) = strike(subject, operation, root, name, *number, fault)? {
                row.broken
                    .push(format!("{}: {name} {number}, {fault}: {why}", row.what));
            }
            Ok(())
        };
        attempt("signal=SIGKILL")?;
        if NEVER_FAIL.contains(&&name[..]) {
            continue;
        }
        for error in errors {
            attempt(&format!("error={error}"))?;
        }
        match &name[..] {
            // The call is not made then, so any other number would be a lie of the system, which nobody can find out who
            // does not read what he wrote.
            "read" | "pread64" | "write" | "pwrite64" => attempt("retval=0")?,
            _ => {}
        }
    }
    eprintln!("{}: {} calls", operation.name, calls.len());
    Ok(row)
}

/// A system call of the operation: the one of this name that is the `number`th of the process.
pub(super) struct Call {
    pub(super) name: String,
    pub(super) number: u64,
}

/// Those that a command of the subject makes between its marks.
pub(super) fn of(subject: &Subject, command: &str, root: &Path) -> Result<Vec<Call>> {
    let trace = root.with_extension("trace");
    let mut strace = Command::new("strace");
    strace
        .arg("-qq")
        .arg("-o")
        .arg(&trace)
        .arg(&subject.program);
    let status = strace.arg(root).arg(command).status()?;
    // A miss is no success.
    ensure!(
        matches!(status.code(), Some(0 | 3)),
        "{command} ended with {status}"
    );
    let text = fs::read_to_string(&trace)?;
    fs::remove_file(trace)?;
    let (mut calls, mut counts, mut marks) = (Vec::new(), BTreeMap::new(), 0);
    for line in text.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let number = counts.entry(name).or_insert(0_u64);
        *number += 1;
        if name == "getppid" {
            marks += 1;
        } else if marks == 1 {
            calls.push(Call {
                name: name.to_owned(),
                number: *number,
            });
        }
    }
    ensure!(marks == 2, "{command} has no end");
    Ok(calls)
}

/// Does the operation with one fault in it, and says which promise that broke.
fn strike(
    subject: &Subject,
    operation: &Operation,
    root: &Path,
    name: &str,
    number: u64,
    fault: &str,
) -> Result<Option<String>> {
    let mut strace = Command::new("timeout");
    strace.args(["-s", "KILL", "30", "strace", "-qq", "-o", "/dev/null"]);
    strace.arg("-e").arg(format!("trace={name}"));
    strace
        .arg("-e")
        .arg(format!("inject={name}:{fault}:when={number}"));
    strace
        .arg(&subject.program)
        .arg(root)
        .arg(operation.command);
    let output = strace.stdin(Stdio::null()).output().context("strace")?;
    let said = || {
        String::from_utf8_lossy(&output.stderr)
            .trim()
            .replace('\n', " ")
    };
    let status = output.status;
    let ended = match status.code() {
        Some(3) if fault == "error=EINTR" && operation.finds => {
            Some(format!("it was not repeated: {}", said()))
        }
        Some(0 | 3) => None,
        _ if fault == "signal=SIGKILL" => None,
        _ => Some(format!("it ended with {status}: {}", said())),
    };
    Ok(match ended {
        Some(why) => Some(why),
        None => subject.ask(root, operation.check)?,
    })
}
