//! What a run costs whose code is stored: how much of the wasm is read, and that a changed file is noticed.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::support::{Place, Ran, exits_with};

/// What is read of every file, to see what it holds.
const HEAD: u64 = 4096;

/// A program that exits with a code, in a file of a megabyte.
fn large(code: i32) -> Vec<u8> {
    let mut wasm = wat::parse_str(exits_with(code)).unwrap();
    // A custom section without a name, and its length in LEB128.
    wasm.extend([0, 0x80, 0x80, 0x40]);
    wasm.resize(wasm.len() + (1 << 20), 0);
    wasm
}

/// Waits until the file is so old that its times tell of every later change.
fn let_it_age() {
    thread::sleep(Duration::from_millis(2100));
}

/// Runs the command, and says how many bytes of `file` it read. That it is not mapped is checked, too.
#[track_caller]
fn run_and_count(place: &Place, args: &[&str], file: &Path) -> (Ran, u64) {
    let command = place.command(args);
    let logs = tempfile::tempdir().unwrap();
    let mut strace = Command::new("strace");
    // A log for each thread, or calls would be cut apart.
    strace.args([
        "-ff",
        "-y",
        "-e",
        "trace=read,pread64,readv,preadv,mmap",
        "-o",
    ]);
    strace.arg(logs.path().join("thread"));
    strace.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap());
    }
    let output = strace.current_dir(place.path()).output();
    let ran = Ran::new(&output.expect("cannot run strace; `apt-get install strace` brings it"));

    let mut log = String::new();
    for thread in fs::read_dir(logs.path()).unwrap() {
        log += &fs::read_to_string(thread.unwrap().path()).unwrap();
    }
    let named = format!("<{}>", fs::canonicalize(file).unwrap().display());
    let calls: Vec<_> = log.lines().filter(|line| line.contains(&named)).collect();
    assert!(!calls.is_empty(), "{named} was not even looked at: {log}");
    let read = calls.iter().map(|call| {
        assert!(!call.contains("mmap("), "{call}");
        let (_, result) = call.rsplit_once(" = ").unwrap();
        result.parse::<u64>().unwrap()
    });
    (ran, read.sum())
}

#[test]
fn a_warm_run_does_not_read_the_wasm() {
    let place = Place::new();
    let file = place.file("large.wasm", large(3));
    let_it_age();
    place.run(&["compile", "large.wasm"]).ok();
    for command in [
        &["run", "--timing", "large.wasm"][..],
        &["compile", "large.wasm"],
    ] {
        let (ran, read) = run_and_count(&place, command, &file);
        assert!(read <= HEAD, "{read} bytes: {ran:?}");
        if command[0] == "run" {
            assert_eq!((ran.code, &*ran.timing().0), (3, "stored"));
        }
    }
}

#[test]
fn a_file_that_may_still_change_is_read_each_time() {
    let place = Place::new();
    let file = place.file("large.wasm", large(3));
    let_it_age();
    place.run(&["compile", "large.wasm"]).ok();
    // As if it had been written just now, for however long this takes.
    let soon = SystemTime::now() + Duration::from_hours(1);
    let times = FileTimes::new().set_modified(soon);
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_times(times)
        .unwrap();
    let len = fs::metadata(&file).unwrap().len();
    for _ in 0..2 {
        let (ran, read) = run_and_count(&place, &["run", "--timing", "large.wasm"], &file);
        assert_eq!((ran.code, &*ran.timing().0), (3, "stored"));
        assert!(read >= len, "{read} bytes");
    }
}

#[test]
fn a_file_replaced_by_one_of_equal_size_and_age_is_noticed() {
    let place = Place::new();
    let file = place.file("large.wasm", large(3));
    let_it_age();
    let run = || place.run(&["run", "--timing", "large.wasm"]);
    assert_eq!(run().timing().0, "compiled");
    let ran = run();
    assert_eq!((ran.code, &*ran.timing().0), (3, "stored"));

    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let age = || {
        let file = File::options().write(true).open(&file).unwrap();
        file.set_times(FileTimes::new().set_modified(modified))
            .unwrap();
    };
    fs::write(&file, large(4)).unwrap();
    age();
    let ran = run();
    assert_eq!((ran.code, &*ran.timing().0), (4, "compiled"));

    fs::rename(place.file("other.wasm", large(5)), &file).unwrap();
    age();
    let ran = run();
    assert_eq!((ran.code, &*ran.timing().0), (5, "compiled"));
}
