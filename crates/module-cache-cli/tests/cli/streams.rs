//! Standard output that nobody reads, or that cannot be written to.

use std::fs::{self, File};
use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::{Place, Ran, exits_with, prints};

/// Closes standard output after the first line, and waits.
#[track_caller]
fn read_one_line(mut command: Command) -> Ran {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut byte = [0];
    while byte != [b'\n'] {
        stdout.read_exact(&mut byte).unwrap();
    }
    drop(stdout);
    Ran::new(&child.wait_with_output().unwrap())
}

/// Nobody ever reads standard output.
#[track_caller]
fn read_nothing(mut command: Command) -> Ran {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    Ran::new(&child.wait_with_output().unwrap())
}

#[track_caller]
fn assert_ended_quietly(ran: &Ran) {
    assert_eq!((ran.code, &*ran.stderr), (141, ""));
}

#[test]
fn compile_ends_quietly() {
    let place = Place::new();
    for n in 0..50 {
        place.file(&format!("in/{n}.wat"), exits_with(n));
    }
    for args in [&["compile", "in"][..], &["compile", "--json", "in"]] {
        assert_ended_quietly(&read_nothing(place.command(args)));
    }
    // Nothing half-written is left.
    let left = fs::read_dir(place.cache().join("v1/tmp")).unwrap().count();
    assert_eq!(left, 0);
    assert_ended_quietly(&read_one_line(place.command(&["compile", "-j1", "in"])));
}

#[test]
fn dir_ends_quietly() {
    let place = Place::new();
    assert_ended_quietly(&read_nothing(place.command(&["dir"])));
}

#[test]
fn commands_that_look_after_the_cache_end_quietly() {
    let place = Place::new();
    place.store(0..3);
    for args in [
        &["ls"][..],
        &["ls", "--json"],
        &["size"],
        &["size", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["prune", "--dry-run"],
        &["export", "--unauthenticated", "-o", "-"],
        &["export", "--unauthenticated", "-o", "b.tar"],
        &["import", "--unauthenticated", "b.tar"],
        &["completions", "zsh"],
        &["clean", "--json"],
    ] {
        assert_ended_quietly(&read_nothing(place.command(args)));
    }
}

#[test]
fn help_ends_quietly() {
    let place = Place::new();
    let ran = read_nothing(place.command(&["--help"]));
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_program_that_writes_for_ever_is_ended() {
    let place = Place::new();
    let file = place.file("yes.wat", prints("y", true));
    let file = file.to_str().unwrap();
    assert_ended_quietly(&read_one_line(place.command(&["run", file])));
    let ran = read_one_line(place.command(&["run", "--timing", file]));
    assert_eq!((ran.code, ran.timing().0.as_str()), (141, "stored"));
}

#[test]
fn a_component_that_writes_to_nobody_is_ended() {
    let place = Place::new();
    let toolbox = crate::support::sample("toolbox.component.wasm");
    assert_ended_quietly(&read_nothing(place.command(&["run", &toolbox, "help"])));
}

#[test]
fn nothing_panics_where_nobody_reads_errors() {
    let place = Place::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(&["run", "missing.wasm"]);
    let status = command.stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_full_disk_behind_standard_output_is_an_error() {
    let place = Place::new();
    let mut command = place.command(&["dir"]);
    command.stdout(File::options().write(true).open("/dev/full").unwrap());
    let ran = Ran::new(&command.output().unwrap());
    assert!(
        ran.error(1).contains("cannot write to standard output"),
        "{ran:?}"
    );
}
