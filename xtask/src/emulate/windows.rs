//! Windows under wine, which has neither its permissions nor its mapped files, and renames otherwise: a smoke test.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::Result;

use super::System;
use crate::process;

pub(super) const SYSTEM: System = System {
    target: "x86_64-pc-windows-gnu",
    packages: &[
        ("gcc-mingw-w64-x86-64", "/usr/bin/x86_64-w64-mingw32-gcc"),
        ("wine64", WINE),
    ],
    environment: &[],
    crates: &[],
    left_out: &[
        (
            "module-cache-filesystem/bundle::ten_thousand_mutated_bundles",
            "it takes more than four minutes",
        ),
        (
            "module-cache-filesystem/cap_under_load::",
            "wine's one server is slower than sixteen processes wait for a lock",
        ),
        (
            "module-cache-filesystem/mapped::",
            "it removes mapped files like others",
        ),
        (
            "module-cache-loader/sharing::three_processes_share_the_work_of_twelve_modules",
            "it starts processes seconds apart",
        ),
        (
            "module-cache-filesystem/conformance::an_entry_that_is_put_again_stays_there_meanwhile",
            "it replaces a file in two steps",
        ),
    ],
    prepare,
    command: start,
    run,
};

const WINE: &str = "/usr/lib/wine/wine64";

/// The library that Rust takes random numbers from, which older wines lack.
const LIBRARY: &str = "bcryptprimitives.dll";
const SOURCE: &str = "
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T len)
{ return SystemFunction036(data, (ULONG)len); }
";

fn prepare(home: &Path) -> Result<()> {
    let libraries = home.join("libraries");
    if !libraries.join(LIBRARY).exists() {
        fs::create_dir_all(&libraries)?;
        fs::write(home.join("random.c"), SOURCE)?;
        let mut gcc = Command::new("x86_64-w64-mingw32-gcc");
        gcc.args(["-shared", "-o"]).arg(libraries.join(LIBRARY));
        process::capture(gcc.arg(home.join("random.c")).arg("-ladvapi32"))?;
    }
    Ok(())
}

fn start(home: &Path, program: &Path, arguments: &[&str]) -> Command {
    let libraries = home.join("libraries");
    let mut command = Command::new(WINE);
    command.arg(program).args(arguments);
    command.env("WINEPREFIX", home.join("wine"));
    // Unix paths are on this drive.
    command.env("WINEPATH", format!("Z:{}", libraries.display()));
    command.env("WINEDEBUG", "-all");
    command
}

fn run(command: &mut Command) -> Result<Output> {
    Ok(command.stdin(Stdio::null()).output()?)
}
