//! `module-cache export` and `import`: what goes from one cache to another, and what is refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use crate::support::{Entry, Place, Ran, exits_with};

/// A key file that only this user can read.
fn key(place: &Place, name: &str, digit: &str) {
    let path = place.file(name, format!("{}\n", digit.repeat(64)));
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A place with entries, and with two keys.
fn filled() -> (Place, Vec<Entry>) {
    let place = Place::new();
    key(&place, "key", "a");
    key(&place, "other.key", "b");
    let entries = place.store(0..3);
    (place, entries)
}

/// Imports into a second cache of the place.
fn import(place: &Place, args: &[&str]) -> Ran {
    place.run(&[&["import", "--cache-dir", "second"], args].concat())
}

#[track_caller]
fn source_in_second(place: &Place, file: &str) -> String {
    let args = ["run", "--cache-dir", "second", "--timing", file];
    place.run(&args).timing().0
}

/// The files of the place, sorted; without its modules.
fn files(place: &Place) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let names = fs::read_dir(place.path()).unwrap().map(name);
    let names = names.filter(|name| Path::new(name).extension() != Some("wat".as_ref()));
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn what_is_exported_is_stored_where_it_is_imported() {
    let (place, _) = filled();
    for trust in [&["--unauthenticated"][..], &["--key", "key"]] {
        let args = [&["export", "-o", "b.tar"], trust].concat();
        let text = place.run(&args).quiet();
        assert!(text.starts_with("exported 3 entries ("), "{text}");

        let text = import(&place, &[trust, &["b.tar"]].concat()).quiet();
        assert!(text.starts_with("imported 3 entries ("), "{text}");
        assert!(text.ends_with("; 0 present before, 0 refused\n"), "{text}");
        for file in ["0.wat", "1.wat", "2.wat"] {
            assert_eq!(source_in_second(&place, file), "stored");
        }
        let text = import(&place, &[trust, &["b.tar"]].concat()).quiet();
        assert!(
            text.starts_with("imported 0 entries (0 B); 3 present before,"),
            "{text}"
        );
        fs::remove_dir_all(place.path().join("second")).unwrap();
    }
    assert_eq!(files(&place), ["b.tar", "cache", "key", "other.key"]);
}

#[test]
fn json_counts() {
    let (place, entries) = filled();
    let ran = place.run(&["export", "--unauthenticated", "--json", "-o", "b.tar"]);
    let len = |entry: &Entry| fs::metadata(&entry.path).unwrap().len();
    let stored: u64 = entries.iter().map(len).sum();
    let ran = ran.ok().json();
    let bytes = ran[0]["bytes"].as_u64().unwrap();
    assert_eq!(
        ran,
        [serde_json::json!({"entries": 3, "bytes": bytes, "skipped": 0})]
    );
    assert!(
        bytes < stored / 2,
        "they are compressed: {bytes} of {stored}"
    );
    let ran = import(&place, &["--unauthenticated", "--json", "b.tar"]).ok();
    let objects = ran.json();
    assert_eq!(objects.len(), 1);
    assert_eq!(
        (&objects[0]["stored"], &objects[0]["present"]),
        (&3.into(), &0.into())
    );
    assert!(objects[0]["bytes"].as_u64() >= Some(bytes), "{ran:?}");
    assert_eq!(objects[0]["refused"], 0);
}

#[test]
fn some_entries_can_be_chosen() {
    let (place, entries) = filled();
    let component = place.store_component();
    let exported = |args: &[&str]| {
        let args = [&["export", "--unauthenticated", "-o", "b.tar"], args].concat();
        place.run(&args).quiet()
    };
    let text = exported(&["--engine", &component.engine]);
    assert!(text.starts_with("exported 1 entry ("), "{text}");
    let text = exported(&[&entries[0].hash[..8], &entries[2].hash]);
    assert!(text.starts_with("exported 2 entries ("), "{text}");
    import(&place, &["--unauthenticated", "b.tar"]).ok();
    assert_eq!(source_in_second(&place, "1.wat"), "compiled");
    assert_eq!(source_in_second(&place, "2.wat"), "stored");
}

#[test]
fn a_bundle_goes_through_pipes() {
    let (place, _) = filled();
    let args = ["export", "--key", "key", "-o", "-"];
    let output = place.command(&args).output().unwrap();
    let ran = Ran::new(&output).ok();
    ran.one_line("module-cache: note: exported 3 entries (");
    let args = ["import", "--cache-dir", "second", "--key", "key", "-"];
    let text = place.run_with_input(&args, &output.stdout).quiet();
    assert!(text.starts_with("imported 3 entries ("), "{text}");
    assert_eq!(source_in_second(&place, "1.wat"), "stored");

    let ran = place.run(&["export", "--unauthenticated", "--json", "-o", "-"]);
    assert!(ran.error(2).contains("--json cannot be used"), "{ran:?}");
}

#[test]
fn a_terminal_gets_no_bundle() {
    let (place, _) = filled();
    let binary = env!("CARGO_BIN_EXE_module-cache");
    let command = format!("{binary} export --unauthenticated -o -");
    let mut script = std::process::Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("MODULE_CACHE_DIR", place.cache())
        .current_dir(place.path())
        .stdin(Stdio::null());
    let ran = Ran::new(&script.output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stdout
            .contains("standard output is a terminal; name a file with -o"),
        "{ran:?}"
    );
}

#[test]
fn one_must_say_whom_to_trust() {
    let (place, _) = filled();
    let ran = place.run(&["import", "--cache-dir", "second", "b.tar"]);
    let error = ran.error(2);
    assert!(
        error.contains("importing installs machine code")
            && error.contains("--key FILE")
            && error.contains("--unauthenticated"),
        "{error}"
    );
    let ran = place.run(&["export", "-o", "b.tar"]);
    assert!(ran.error(2).contains("a bundle is machine code"), "{ran:?}");
    let both = ["--key", "key", "--unauthenticated"];
    import(&place, &[&both[..], &["b.tar"]].concat()).error(2);
    place
        .run(&[&["export", "-o", "b.tar"], &both[..]].concat())
        .error(2);
    assert_eq!(files(&place), ["cache", "key", "other.key"]);
}

#[test]
fn a_bundle_of_another_key_or_of_none_is_refused() {
    let (place, entries) = filled();
    place
        .run(&["export", "--key", "key", "-o", "signed.tar"])
        .ok();
    place
        .run(&["export", "--unauthenticated", "-o", "plain.tar"])
        .ok();
    for args in [
        &["--key", "other.key", "signed.tar"][..],
        &["--key", "key", "plain.tar"],
    ] {
        let ran = import(&place, args);
        assert_eq!(ran.code, 1, "{ran:?}");
        let errors = ran.lines("module-cache: error: ");
        assert_eq!(errors.len(), 3, "{ran:?}");
        for entry in &entries {
            assert!(errors.iter().any(|error| error.contains(&entry.hash)));
        }
        assert!(
            ran.stdout.starts_with("imported 0 entries (0 B);"),
            "{ran:?}"
        );
    }
    let ran = import(&place, &["--json", "--key", "other.key", "signed.tar"]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    let objects = ran.json();
    let (summary, refused) = objects.split_last().unwrap();
    assert_eq!((refused.len(), &summary["refused"]), (3, &3.into()));
    assert!(refused.iter().all(|object| object["reason"].is_string()));
    assert_eq!(source_in_second(&place, "0.wat"), "compiled");
}

#[test]
fn of_a_damaged_bundle_the_whole_entries_are_stored() {
    let (place, _) = filled();
    place
        .run(&["export", "--unauthenticated", "-o", "b.tar"])
        .ok();
    let mut bundle = fs::read(place.path().join("b.tar")).unwrap();
    // The first entry begins behind one header.
    bundle[512 + 100] ^= 1;
    place.file("damaged.tar", &bundle);
    let ran = import(&place, &["--unauthenticated", "damaged.tar"]);
    assert!(ran.error(1).contains("was refused: "), "{ran:?}");
    assert!(ran.stdout.starts_with("imported 2 entries ("), "{ran:?}");
    place.run(&["verify", "--cache-dir", "second"]).quiet();
}

#[test]
fn what_is_no_bundle_is_one_error() {
    let (place, _) = filled();
    place.file("garbage", exits_with(0).repeat(100));
    place.file("empty", "");
    for file in ["garbage", "empty", "missing.tar", "cache"] {
        let ran = import(&place, &["--unauthenticated", file]);
        let error = ran.error(1);
        assert!(
            error.starts_with(&format!("module-cache: error: {file}: ")),
            "{error}"
        );
    }
    place.file("zeros", [0; 1024]);
    let ran = import(&place, &["--unauthenticated", "zeros"]);
    ran.error(1);
}

#[test]
fn a_key_that_cannot_be_had_is_one_error() {
    let (place, _) = filled();
    place
        .run(&["export", "--unauthenticated", "-o", "b.tar"])
        .ok();
    place.file("short.key", "a".repeat(63));
    place.file("binary.key", [255; 64]);
    for (key, says) in [
        ("missing.key", "no such file; `module-cache key new`"),
        ("short.key", "not a key; `module-cache key new` makes one"),
        ("binary.key", "not a key; `module-cache key new` makes one"),
        ("/dev/zero", "not a key; `module-cache key new` makes one"),
        ("cache", "cannot be read"),
    ] {
        for args in [
            &["import", "b.tar", "--cache-dir", "second"][..],
            &["export", "-o", "new.tar"],
        ] {
            let ran = place.run(&[args, &["--key", key]].concat());
            let error = ran.error(1);
            let start = format!("module-cache: error: the key file {key}: {says}");
            assert!(error.starts_with(&start), "{error}");
        }
    }
    assert!(!place.path().join("second").exists());
    assert!(!place.path().join("new.tar").exists());
}

#[test]
fn the_first_key_of_a_file_signs_and_all_are_accepted() {
    let (place, _) = filled();
    let [old, new] = ["a", "b"].map(|digit| format!("{}\n", digit.repeat(64)));
    let both = place.file("both.key", [&*new, "\n", &*old].concat());
    fs::set_permissions(both, fs::Permissions::from_mode(0o600)).unwrap();
    for (signing, accepting) in [("key", "both.key"), ("both.key", "other.key")] {
        let args = ["export", "--key", signing, "-o", "b.tar"];
        place.run(&args).quiet();
        let text = import(&place, &["--key", accepting, "b.tar"]).quiet();
        assert!(text.starts_with("imported 3 entries ("), "{text}");
        fs::remove_dir_all(place.path().join("second")).unwrap();
    }
    let ran = import(&place, &["--key", "key", "b.tar"]);
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn the_environment_can_hold_the_key() {
    let (place, _) = filled();
    let run = |key: &str, args: &[&str]| {
        let mut command = place.command(args);
        command.env("MODULE_CACHE_KEY", key);
        Ran::new(&command.output().unwrap())
    };
    run(&"a".repeat(64), &["export", "-o", "b.tar"]).quiet();
    import(&place, &["--key", "key", "b.tar"]).quiet();
    let import = ["import", "--cache-dir", "third", "b.tar"];
    let ran = run(&"b".repeat(64), &import);
    assert_eq!(ran.code, 1, "{ran:?}");
    run(&"a".repeat(64), &import).quiet();

    let secret = "c".repeat(63);
    let ran = run(&secret, &import);
    let error = ran.error(1);
    assert!(
        error.contains("MODULE_CACHE_KEY: not a key; ") && !error.contains(&secret),
        "{error}"
    );
    let ran = run("", &import);
    assert!(ran.error(2).contains("or in MODULE_CACHE_KEY"), "{ran:?}");
}

#[test]
fn a_key_that_others_can_read_is_used_with_a_warning() {
    let (place, _) = filled();
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(place.path().join("key"), mode).unwrap();
    let ran = place.run(&["export", "--key", "key", "-o", "b.tar"]);
    let ran = ran.ok();
    let warning = ran.one_line("module-cache: warning: others can read the key file key");
    assert!(warning.ends_with("`chmod go= key`"), "{warning}");
}

#[test]
fn no_half_bundle_takes_the_name() {
    let (place, entries) = filled();
    place.file("b.tar", "what was there");
    let args = ["export", "--unauthenticated", "-o", "b.tar"];
    let untouched = || {
        let text = fs::read(place.path().join("b.tar")).unwrap();
        assert_eq!(text, b"what was there");
        assert_eq!(files(&place), ["b.tar", "cache", "key", "other.key"]);
    };
    // What is not in the cache cannot be in the bundle.
    let unknown = "0".repeat(64);
    let ran = place.run(&[&args[..], &[&entries[0].hash, &unknown]].concat());
    assert!(ran.error(1).contains(&unknown), "{ran:?}");
    untouched();

    for entry in &entries {
        entry.damage();
    }
    let ran = place.run(&args);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.lines("module-cache: error: ").len(), 4, "{ran:?}");
    untouched();
}

#[test]
fn a_damaged_entry_is_left_out_and_told() {
    let (place, entries) = filled();
    entries[1].damage();
    let ran = place.run(&["export", "--unauthenticated", "-o", "b.tar"]);
    let error = ran.error(1);
    assert!(
        error.contains(&entries[1].hash) && error.ends_with("; it is not in the bundle"),
        "{error}"
    );
    let ran = place.run(&["export", "--unauthenticated", "--json", "-o", "b.tar"]);
    let objects = ran.json();
    assert_eq!((objects.len(), ran.code), (2, 1), "{ran:?}");
    assert!(objects[0]["path"].is_string() && objects[0]["reason"].is_string());
    assert_eq!(
        (&objects[1]["entries"], &objects[1]["skipped"]),
        (&2.into(), &1.into())
    );
    import(&place, &["--unauthenticated", "b.tar"]).ok();
}

#[test]
fn a_bundle_goes_where_a_link_leads_and_into_devices() {
    let (place, _) = filled();
    fs::create_dir(place.path().join("real")).unwrap();
    place.file("real/b.tar", "old");
    symlink("real/b.tar", place.path().join("link.tar")).unwrap();
    for target in ["link.tar", "/dev/null"] {
        let args = ["export", "--unauthenticated", "-o", target];
        place.run(&args).quiet();
    }
    assert!(place.path().join("link.tar").is_symlink());
    import(&place, &["--unauthenticated", "real/b.tar"]).ok();

    for target in ["real", "missing/b.tar", "/dev/full"] {
        let ran = place.run(&["export", "--unauthenticated", "-o", target]);
        let start = format!("module-cache: error: cannot write {target}: ");
        assert!(ran.error(1).starts_with(&start), "{ran:?}");
    }
}
