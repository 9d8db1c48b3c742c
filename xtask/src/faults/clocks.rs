//! A clock that is set ahead and back between the programs that use a folder.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Row, Subject};
use crate::process;

const OPERATIONS: [&str; 6] = ["save", "saves", "load", "remove", "prune", "import"];

pub(super) fn run(subject: &Subject, scratch: &Path) -> Result<Vec<Row>> {
    process::require("faketime", "--version", "faketime")?;
    let mut rows = Vec::new();
    for shift in ["+400d", "-400d"] {
        let mut row = Row {
            what: format!("two programs, one clock set by {shift}"),
            tried: 0,
            broken: Vec::new(),
        };
        for operation in OPERATIONS {
            let root = scratch.join(format!("clock{shift}-{operation}"));
            subject.prepare(&root, "prepare-full")?;
            // By turns, and each looks at what the other left.
            for (command, shifted) in [
                (operation, true),
                ("check-any", false),
                (operation, false),
                ("check-any", true),
            ] {
                let mut program = Command::new(if shifted { "faketime" } else { "env" });
                if shifted {
                    program.args(["-f", shift]);
                }
                // The kernel's times of files are what they are.
                program.envs([("NO_FAKE_STAT", "1"), ("DONT_FAKE_MONOTONIC", "1")]);
                program.arg(&subject.program).arg(&root).arg(command);
                let output = program.output()?;
                row.tried += 1;
                // What was removed is not found again.
                let passes = [Some(0), Some(3)].contains(&output.status.code());
                if !passes || command == "check-any" && !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr);
                    let what = &row.what;
                    row.broken
                        .push(format!("{what}: {operation}, {command}: {said}"));
                }
            }
        }
        rows.push(row);
    }
    Ok(rows)
}
