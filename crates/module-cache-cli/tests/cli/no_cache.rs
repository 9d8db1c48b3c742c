//! Where there is no cache: commands that look say so, and none that has nothing to store creates one.

use std::fs;

use crate::support::Place;

const LOOKING: [&[&str]; 11] = [
    &["ls"],
    &["ls", "--json"],
    &["size"],
    &["size", "--json"],
    &["verify"],
    &["verify", "--json"],
    &["verify", "--repair"],
    &["prune", "--dry-run"],
    &["prune", "--max-age", "1d"],
    &["clean"],
    &["clean", "--json"],
];

#[test]
fn a_missing_cache_is_an_empty_one_and_stays_missing() {
    let place = Place::new();
    for args in LOOKING {
        let ran = place.run(args).ok();
        ran.one_line("module-cache: note: there is no cache at ");
        assert_eq!(ran.stdout.is_empty(), args[0] == "ls", "{args:?}");
        assert!(!place.cache().exists(), "{args:?}");
    }
    let ran = place.run(&["size", "--json"]);
    assert_eq!(ran.json()[0]["entries"], 0);
}

#[test]
fn a_folder_that_is_no_cache_is_not_made_one() {
    let place = Place::new();
    place.file("cache/letters.txt", "dear");
    for args in LOOKING {
        let ran = place.run(args).ok();
        ran.one_line("module-cache: note: there is no cache at ");
        let left = fs::read_dir(place.cache()).unwrap().count();
        assert_eq!(left, 1, "{args:?}");
    }
}

#[test]
fn what_is_named_there_is_missing() {
    let place = Place::new();
    for args in [
        &["clean", "12345678"][..],
        &["clean", "--engine", "wasmtime"],
        &["export", "--unauthenticated", "-o", "x.tar"],
        &["export", "--unauthenticated", "-o", "x.tar", "12345678"],
    ] {
        let ran = place.run(args);
        assert_eq!(ran.code, 1, "{args:?}");
        assert!(ran.stderr.contains("module-cache: error: "), "{ran:?}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{args:?}");
    }
}

#[test]
fn a_file_is_no_cache_for_any_command() {
    let place = Place::new();
    place.file("cache", "a file");
    for args in LOOKING {
        let ran = place.run(args);
        assert!(ran.error(1).contains("Not a directory"), "{args:?} {ran:?}");
    }
}
