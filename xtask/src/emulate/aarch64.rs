//! aarch64 Linux under qemu.
//!
//! Tests start themselves again, so the kernel has to know the emulator: it is registered in a user namespace that ends with
//! the program, in which root is root of this machine, and which leaves the machine as it was (Linux 6.7 and later).

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::{System, build};
use crate::process;
use crate::workspace::Workspace;

pub(super) const SYSTEM: System = System {
    target: TARGET,
    packages: &[
        ("gcc-aarch64-linux-gnu", "/usr/bin/aarch64-linux-gnu-gcc"),
        (
            "libc6-dev-arm64-cross",
            "/usr/aarch64-linux-gnu/include/stdio.h",
        ),
        ("qemu-user", "/usr/bin/qemu-aarch64"),
        ("util-linux", "/usr/bin/unshare"),
    ],
    environment: &[
        (
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
            "aarch64-linux-gnu-gcc",
        ),
        ("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc"),
    ],
    crates: &["module-cache-wasmtime"],
    left_out: &[
        (
            "module-cache-filesystem/mounts::",
            "it mounts images, which is for the machine's own root and the same for each processor",
        ),
        (
            "module-cache-memory/module_cache_memory::biased_lock_tests::after_a_fence_that_failed",
            "qemu has no filters of system calls",
        ),
        (
            "module-cache-wasmtime/engines::compile::a_forked_child_compiles",
            "qemu ends the forked child, with status 127",
        ),
        (
            "module-cache-filesystem/cap_under_load::with_one_killed_every_tenth_of_a_second",
            "it looks too seldom to mean anything",
        ),
    ],
    prepare: |_| Ok(()),
    command: start,
    run,
};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Says that it is there, waits for its user ids, and becomes the program.
const ENTER: &str = r#"
echo
read -r _ || exit 1
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || exit 1
printf %s "$0" >/proc/sys/fs/binfmt_misc/register || exit 1
exec "$@"
"#;

/// Programs of this processor are for qemu, which is opened now and found from every mount namespace.
const REGISTRATION: &str = concat!(
    r":aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00",
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff",
    ":/usr/bin/qemu-aarch64:F"
);

fn start(_: &Path, program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--mount", "sh", "-c", ENTER, REGISTRATION]);
    command.arg(program).args(arguments);
    command.env("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu");
    command
}

fn run(command: &mut Command) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let stdout = child.stdout.take().context("no standard output")?;
    let mut stderr = child.stderr.take().context("no standard error")?;
    let errors = thread::spawn(move || {
        let mut said = Vec::new();
        stderr.read_to_end(&mut said).map(|_| said)
    });
    let mut stdout = BufReader::new(stdout);
    stdout.read_line(&mut String::new())?;
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{}/{map}", child.id()), "0 0 4294967295")
            .context("cannot map users, which takes root, as in a container")?;
    }
    writeln!(stdin)?;
    drop(stdin);
    let mut said = Vec::new();
    stdout.read_to_end(&mut said)?;
    Ok(Output {
        status: child.wait()?,
        stdout: said,
        stderr: errors.join().expect("reading does not panic")?,
    })
}

/// Too large to be read instead of mapped.
const DATA: usize = 400_000;

const EXAMPLE: &str = "other_machine";

/// What the example's engine is like, whose wasmtime has fewer features than the command's.
const SETTINGS: &str = "
[codegen]
collector = \"drc\"

[wasm]
component-model-async = false
concurrency-support = false
";

/// Fails unless code that the command compiles here for aarch64 is mapped and runs there, and what it compiles for this
/// machine is a miss.
pub(super) fn other_machine(workspace: &Workspace) -> Result<()> {
    // With the tests, or the standard library would be built without what they need of it, and all anew.
    let built = ["test", "--no-run", "--tests", "--example", EXAMPLE];
    let programs = build(workspace, &SYSTEM, &built)?;
    let example = programs.iter().find(|program| program.name == EXAMPLE);
    let program = &example.context("cargo built no example")?.path;
    let folder = tempfile::tempdir()?;
    let cache = folder.path().join("cache");
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, SETTINGS)?;
    let command = command(workspace)?;
    let options: [&[&str]; 2] = [&["--target", TARGET], &[]];
    for (options, letter, expected) in [(options[0], 'a', "97, mapped"), (options[1], 'b', "miss")]
    {
        let wat = folder.path().join(format!("{letter}.wat"));
        let data = letter.to_string().repeat(DATA);
        let last = DATA - 1;
        let text = format!(
            "(module (memory 8) (data (i32.const 0) \"{data}\") (func (export \"answer\") (result i32) \
             (i32.load8_u (i32.const {last}))))"
        );
        fs::write(&wat, text)?;
        let mut compile = Command::new(&command);
        compile.env("MODULE_CACHE_DIR", &cache).arg("compile");
        compile.arg("--engine-config").arg(&settings);
        process::run(compile.args(options).arg(&wat))?;
        let arguments = [cache.as_os_str(), wat.as_os_str()].map(OsStr::to_str);
        let [Some(cache), Some(wat)] = arguments else {
            anyhow::bail!("the temporary folder has no name in UTF-8");
        };
        let output = run(&mut start(folder.path(), program, &[cache, wat]))?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && said.trim() == expected,
            "under aarch64, an entry of {options:?} is {said:?} in place of {expected:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    eprintln!(
        "what was compiled here for aarch64 was mapped and ran; what was compiled for this machine was a miss"
    );
    Ok(())
}

/// The command of this machine, as the tests have it: with them, it is built with the same features of its dependencies.
fn command(workspace: &Workspace) -> Result<PathBuf> {
    let mut cargo = process::cargo(&workspace.root);
    cargo.args(["test", "--no-run", "--workspace", "--test", "cli"]);
    cargo.args(workspace.all_features());
    cargo.arg("--message-format=json-render-diagnostics");
    let mut programs = process::executables(cargo.stderr(Stdio::inherit()))?;
    programs
        .remove("module-cache")
        .context("cargo built no module-cache")
}
