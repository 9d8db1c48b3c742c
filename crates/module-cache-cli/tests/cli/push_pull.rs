//! `module-cache push` and `pull`: what goes to a storage and comes from it, and what does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use module_cache::backend::SharedKey;
use module_cache::backend::format::strip_footer;

use crate::host::{Host, key_of};
use crate::servers;
use crate::support::{Entry, Ran};

/// A host with three modules and a component that were compiled for it alone.
fn filled(uri: &str) -> (Host, Vec<Entry>) {
    let host = Host::of(uri);
    let mut entries = host.place.store(0..3);
    entries.push(host.place.store_component());
    (host, entries)
}

/// The hashes that a host has after it pulled with these arguments into an empty folder.
#[track_caller]
fn pulled(uri: &str, args: &[&str]) -> Vec<String> {
    let host = Host::of(uri);
    host.run(&[&["pull"], args].concat()).ok();
    host.place.hashes()
}

/// The counts of a summary: stored, present, failed.
#[track_caller]
fn counts(ran: &Ran) -> [u64; 3] {
    let objects = ran.json();
    let summary = objects.last().unwrap();
    let bytes = summary["bytes"].as_u64().unwrap();
    let counts = ["stored", "present", "failed"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(bytes > 0, counts[0] > 0, "{ran:?}");
    counts
}

#[test]
fn what_is_pushed_is_stored_where_it_is_pulled() {
    let uri = servers::s3();
    let (host, entries) = filled(&uri);
    let text = host.run(&["push"]).quiet();
    assert!(
        text.starts_with("pushed 4 entries (") && text.ends_with("; 0 present before, 0 failed\n"),
        "{text}"
    );
    let text = host.run(&["push"]).quiet();
    assert_eq!(text, "pushed 0 entries (0 B); 4 present before, 0 failed\n");

    let other = Host::of(&uri);
    let text = other.run(&["pull"]).quiet();
    assert!(text.starts_with("pulled 4 entries ("), "{text}");
    let text = other.run(&["pull"]).quiet();
    assert_eq!(text, "pulled 0 entries (0 B); 4 present before, 0 failed\n");
    // What is there and cannot be used is pulled.
    let damaged = other
        .place
        .v1()
        .join(&entries[0].engine)
        .join(&entries[0].hash);
    fs::set_permissions(&damaged, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&damaged, b"no entry").unwrap();
    let ran = other.run(&["pull"]).ok();
    assert!(
        ran.stdout.contains("; 3 present before, 0 failed"),
        "{ran:?}"
    );
    for (code, name) in ["0.wat", "1.wat", "2.wat"].iter().enumerate() {
        let program = fs::read(host.place.path().join(name)).unwrap();
        other.place.file(name, program);
        let ran = other.place.run(&["run", "--timing", name]);
        assert_eq!(
            (ran.code, &*ran.timing().0),
            (i32::try_from(code).unwrap(), "stored")
        );
    }
    other.place.run(&["verify"]).quiet();
    // What one folder has and what the other, is the same code.
    for entry in &entries {
        let path = other.place.v1().join(&entry.engine).join(&entry.hash);
        let [theirs, ours] = [&path, &entry.path].map(|path| fs::read(path).unwrap());
        assert!(strip_footer(&theirs) == strip_footer(&ours));
    }
}

#[test]
fn some_entries_can_be_chosen() {
    let uri = servers::s3();
    let (host, entries) = filled(&uri);
    let hashes = |chosen: &[&Entry]| {
        let mut hashes: Vec<_> = chosen.iter().map(|entry| entry.hash.clone()).collect();
        hashes.sort_unstable();
        hashes
    };
    host.run(&["push", &entries[0].hash[..12]]).ok();
    assert_eq!(pulled(&uri, &[]), hashes(&[&entries[0]]));
    let component = &entries[3];
    host.run(&["push", "--engine", &component.engine]).ok();
    assert_eq!(pulled(&uri, &[]), hashes(&[&entries[0], component]));
    assert_eq!(pulled(&uri, &[&component.hash]), hashes(&[component]));
    assert_eq!(
        pulled(&uri, &["--engine", &entries[0].engine]),
        hashes(&[&entries[0]])
    );

    for command in ["push", "pull"] {
        let ran = host.run(&[command, "00000000", "11111111"]);
        assert_eq!((ran.code, &*ran.stdout), (1, ""));
        let lines = ran.lines("module-cache: ");
        let (errors, notes) = lines.split_at(2);
        let is_error = |line: &&str| line.starts_with("module-cache: error: ");
        assert!(errors.iter().all(is_error), "{ran:?}");
        assert_eq!(notes.len(), usize::from(command == "pull"), "{ran:?}");
        let ran = host.run(&[command, "--engine", "wasmtime-1.0"]);
        assert!(
            ran.error(1).contains("no entries of such an engine"),
            "{ran:?}"
        );
    }
}

#[test]
fn json_counts() {
    let uri = servers::s3();
    let (host, _) = filled(&uri);
    assert_eq!(counts(&host.run(&["push", "--json"]).ok()), [4, 0, 0]);
    assert_eq!(counts(&host.run(&["push", "--json"]).ok()), [0, 4, 0]);
    let other = Host::of(&uri);
    assert_eq!(counts(&other.run(&["pull", "--json"]).ok()), [4, 0, 0]);
    assert_eq!(counts(&other.run(&["pull", "--json"]).ok()), [0, 4, 0]);
}

#[test]
fn a_damaged_entry_is_told_and_the_others_are_pushed() {
    let uri = servers::s3();
    let (host, entries) = filled(&uri);
    entries[1].damage();
    let ran = host.run(&["push", "--json"]);
    assert_eq!((ran.code, counts(&ran)), (1, [3, 0, 1]), "{ran:?}");
    let objects = ran.json();
    assert_eq!(objects.len(), 2);
    assert_eq!(
        (&objects[0]["hash"], &objects[0]["engine"]),
        (
            &entries[1].hash.clone().into(),
            &entries[1].engine.clone().into()
        )
    );
    assert!(objects[0]["error"].is_string());
    assert_eq!(pulled(&uri, &[]).len(), 3);
}

#[test]
fn what_was_signed_with_another_key_is_not_pulled() {
    let uri = servers::s3();
    let (host, _) = filled(&uri);
    host.run(&["push"]).ok();
    let other = Host::of(&uri);
    other.key_file("key", &key_of("b"));
    for trust in [&["--key", "key"][..], &["--unauthenticated"]] {
        // It is in a place of its own.
        let ran = other.run_trusting(trust, &["pull"]).ok();
        let expected = "pulled 0 entries (0 B); 0 present before, 0 failed\n";
        assert_eq!(ran.stdout, expected);
        let note = ran.one_line("module-cache: note: the remote storage has no ");
        let whose = match trust {
            ["--key", _] => SharedKey::from_bytes([0xbb; 32]).id().to_string(),
            _ => "unsigned".to_owned(),
        };
        assert!(note.contains(&whose), "{note}");
        assert!(other.place.hashes().is_empty());
    }
}

#[test]
fn redis_is_pushed_to_and_does_not_say_what_it_has() {
    let uri = servers::redis();
    let (host, _) = filled(&uri);
    host.run(&["push"]).quiet();
    let other = Host::of(&uri);
    let ran = other.run(&["pull"]);
    assert!(
        ran.error(1)
            .contains("it cannot be listed and has no index"),
        "{ran:?}"
    );
    let program = fs::read(host.place.path().join("0.wat")).unwrap();
    other.place.file("0.wat", program);
    let ran = other.run(&["run", "--timing", "0.wat"]).ok();
    assert_eq!(ran.timing().0, "stored");
}

#[test]
fn over_http_is_pulled_what_an_index_names() {
    let (s3, http) = servers::s3_and_http();
    let (host, entries) = filled(&s3);
    host.run(&["push"]).ok();
    let ran = Host::of(&http).run(&["pull"]);
    assert!(ran.error(1).contains("has no index"), "{ran:?}");
    host.run(&["push", "--index"]).ok();
    assert_eq!(pulled(&http, &[]).len(), 4);
    assert_eq!(
        pulled(&http, &[&entries[0].hash]),
        [entries[0].hash.clone()]
    );
    let ran = Host::of(&http).run(&["pull", "00000000"]);
    assert_eq!(ran.code, 1);
    let [error, note] = ran.lines("module-cache: ")[..] else {
        panic!("{ran:?}");
    };
    assert!(error.ends_with("no such module"), "{error}");
    let start = "module-cache: note: only entries of the key ";
    assert!(note.starts_with(start), "{note}");
}

#[test]
fn a_storage_that_is_down_is_found_out_once() {
    let gone = servers::free_address();
    let (host, _) = filled(&servers::s3_at(gone));
    let started = Instant::now();
    let ran = host.run(&["push"]);
    assert_eq!(ran.code, 1);
    let error = ran.one_line("module-cache: error: cannot store the entry in remote storage: ");
    assert!(
        error.ends_with("; 4 entries were not copied; repeat the command to copy the rest"),
        "{error}"
    );
    assert_eq!(
        ran.stdout,
        "pushed 0 entries (0 B); 0 present before, 4 failed\n"
    );
    host.run(&["pull"]).error(1);
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_command_without_a_storage_or_a_key_says_what_is_missing() {
    let host = Host::of("fs:///nowhere");
    for command in ["push", "pull"] {
        let ran = host.place.run(&[command]);
        assert!(
            ran.error(2).contains("name a remote storage with --remote"),
            "{ran:?}"
        );
        let ran = host.run_trusting(&[], &[command]);
        let error = ran.error(2);
        assert!(
            error.contains("--key FILE") && error.contains("--unauthenticated"),
            "{error}"
        );
    }
    assert!(!host.place.cache().exists());
}

#[test]
fn of_an_empty_cache_nothing_is_pushed() {
    let host = Host::of(&servers::s3());
    let ran = host.run(&["push"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("nothing to push"), "{ran:?}");
    assert!(!host.place.cache().exists());
    assert!(pulled(&servers::s3(), &[]).is_empty());
}

#[test]
fn what_a_revoked_key_signed_is_not_used_and_is_replaced() {
    let uri = servers::s3();
    let (host, _) = filled(&uri);
    host.run(&["push"]).ok();
    let other = Host::of(&uri);
    other.run(&["pull"]).ok();
    other
        .place
        .file("0.wat", fs::read(host.place.path().join("0.wat")).unwrap());
    other.key_file("new.key", &key_of("c"));
    let new = |args: &[&str]| other.run_trusting(&["--key", "new.key"], args);
    assert_eq!(
        other.run(&["run", "--timing", "0.wat"]).timing().0,
        "stored"
    );
    assert_eq!(new(&["run", "--timing", "0.wat"]).timing().0, "compiled");
    assert_eq!(new(&["run", "--timing", "0.wat"]).timing().0, "stored");
}
