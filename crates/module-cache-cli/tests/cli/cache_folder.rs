//! Cache folders that cannot be used, or only be read: programs run all the same, and `compile` says why
//! it cannot fill them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use crate::support::{Place, exits_with, need_root, on_mount, prints, sample};

/// Runs a program with this place's cache, which cannot be used for the reason given, and fills that cache.
#[track_caller]
fn assert_refused(place: &Place, reason: &str) {
    let file = place.file("hello.wat", prints("hello", false));
    let file = file.to_str().unwrap();
    let ran = place.run(&["run", file]).ok();
    assert_eq!(ran.stdout, "hello\n");
    let warning = ran.one_line("module-cache: warning: ");
    assert!(warning.contains(reason), "{warning}");
    assert!(
        warning.ends_with("; running without the cache"),
        "{warning}"
    );

    let ran = place.run(&["run", "--timing", file]).ok();
    assert_eq!(ran.timing().0, "compiled");

    let ran = place.run(&["compile", "--json", file]);
    assert!(ran.error(1).contains(reason), "{ran:?}");
    assert_eq!(ran.stdout, "");
}

fn fill(place: &Place) {
    let file = place.file("exit.wat", exits_with(0));
    place.run(&["compile", file.to_str().unwrap()]).ok();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_file_is_no_cache() {
    let place = Place::new();
    place.file("cache", "a file");
    assert_refused(&place, "Not a directory");
}

#[test]
fn a_folder_that_others_can_write_to_is_refused() {
    let place = Place::new();
    fill(&place);
    for mode in [0o770, 0o707] {
        set_mode(&place.cache().join("v1"), mode);
        assert_refused(&place, "so others can write to it; `chmod go-w`");
    }
    set_mode(&place.cache().join("v1"), 0o700);
    let ran = place.run(&["run", "--timing", "exit.wat"]).ok();
    assert_eq!(ran.timing().0, "stored");
}

#[test]
fn a_folder_of_another_user_is_refused() {
    need_root();
    let place = Place::new();
    fill(&place);
    chown(place.cache().join("v1"), Some(1000), None).unwrap();
    let reason = "it belongs to user 1000, and this is user 0; choose one that belongs to this user or to root";
    assert_refused(&place, reason);
}

#[test]
fn a_private_folder_of_another_user_says_how_it_is_shared() {
    need_root();
    let place = Place::new();
    fill(&place);
    chown(place.cache(), Some(1000), None).unwrap();
    // Root without the right to read everything, as another user.
    let ran = place.run_by(
        &["setpriv", "--bounding-set=-dac_override,-dac_read_search"],
        &["run", "exit.wat"],
    );
    let warning = ran.ok();
    let warning = warning.one_line("module-cache: warning: ");
    assert!(
        warning.contains("ermission denied") && warning.contains("`compile --world-readable`"),
        "{warning}"
    );
}

#[test]
fn root_creates_no_cache_below_another_users_folder() {
    need_root();
    let place = Place::new();
    fs::create_dir(place.cache()).unwrap();
    chown(place.cache(), Some(1000), None).unwrap();
    let file = place.file("exit.wat", exits_with(3));
    let ran = place.run(&["run", file.to_str().unwrap()]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.stderr
            .contains("it belongs to user 1000, and root creates nothing there"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.ends_with("; running without the cache\n"),
        "{ran:?}"
    );
    assert_eq!(place.run(&["compile", file.to_str().unwrap()]).code, 1);
    assert_eq!(fs::read_dir(place.cache()).unwrap().count(), 0);
}

#[test]
fn a_folder_below_one_that_others_control_is_used_with_a_warning() {
    let place = Place::new();
    let open = place.path().join("open");
    fs::create_dir(&open).unwrap();
    set_mode(&open, 0o777);
    let file = place.file("exit.wat", exits_with(0));
    let args = ["run", "--cache-dir", "open/cache", file.to_str().unwrap()];
    for _ in 0..2 {
        let ran = place.run(&args).ok();
        let warning = ran.one_line("module-cache: warning: ");
        assert!(
            warning.contains("below a directory that others control"),
            "{warning}"
        );
    }
}

#[test]
fn a_folder_that_can_only_be_read_is_read() {
    let place = Place::new();
    place.file("exit.wat", exits_with(0));
    let cache = place.path().join("disk/cache");
    let args = [
        "compile",
        "--cache-dir",
        cache.to_str().unwrap(),
        "exit.wat",
    ];
    place.run(&args).ok();

    let mount = "--bind -o ro disk";
    let ran = on_mount(&place, mount, &["run", "--timing", "exit.wat"]).ok();
    assert_eq!(ran.timing().0, "stored");
    ran.one_line("module-cache: stored ");

    place.file("new.wat", exits_with(5));
    let ran = on_mount(&place, mount, &["run", "new.wat"]);
    assert_eq!(ran.code, 5);
    let warning = ran.one_line("module-cache: warning: new.wat could not be stored");
    assert!(warning.ends_with("the storage is read-only"), "{warning}");

    let ran = on_mount(&place, mount, &["compile", "exit.wat"]);
    assert!(ran.error(1).contains(" is read-only"), "{ran:?}");
}

#[test]
fn a_folder_that_can_only_be_read_can_be_looked_at_and_exported() {
    let place = Place::new();
    place.store(0..2);
    place.move_cache_to_disk();
    let mount = "--bind -o ro disk";
    let run = |args: &[&str]| on_mount(&place, mount, args);
    assert_eq!(run(&["ls"]).quiet().lines().count(), 2);
    assert!(run(&["size"]).quiet().contains(" 2 entries "));
    assert!(run(&["verify"]).quiet().contains(" 2 entries, "));
    run(&["export", "--unauthenticated", "-o", "b.tar"]).quiet();

    for args in [
        &["prune", "--max-size", "0"][..],
        &["clean"],
        &["clean", "--engine", "wasmtime"],
        &["import", "--unauthenticated", "b.tar"],
    ] {
        let ran = run(args);
        let error = ran.error(1);
        assert!(error.contains("ead-only"), "{error}");
    }
    assert_eq!(run(&["ls"]).quiet().lines().count(), 2);
}

#[test]
fn a_damaged_entry_in_a_folder_that_can_only_be_read_is_told_once_and_as_one_that_stays() {
    let place = Place::new();
    place.store(0..1)[0].damage();
    place.move_cache_to_disk();
    let run = |args: &[&str]| on_mount(&place, "--bind -o ro disk", args);
    let ran = run(&["run", "0.wat"]).ok();
    let [damaged, stays] = ran.lines("module-cache: warning: ")[..] else {
        panic!("{ran:?}");
    };
    assert!(damaged.contains("a stored entry is damaged"), "{ran:?}");
    assert!(
        stays.contains("0.wat could not be stored") && stays.ends_with("the storage is read-only"),
        "{ran:?}"
    );
    let ran = run(&["verify", "--repair"]);
    let error = ran.error(1);
    assert!(
        error.contains("; it could not be removed: read-only file"),
        "{error}"
    );
}

#[test]
fn on_a_full_disk_programs_run_and_compile_says_which_files_are_missing() {
    let place = Place::new();
    place.file("small.wat", exits_with(4));
    let toolbox = sample("toolbox.wasm");
    let mount = "-t tmpfs -o size=300k,mode=700 none";
    let ran = on_mount(&place, mount, &["run", &toolbox, "calc", "6 * 7"]).ok();
    assert_eq!(ran.stdout, "42\n");
    let warning = ran.one_line("module-cache: warning: ");
    assert!(warning.ends_with("there is no space left"), "{warning}");

    let ran = on_mount(&place, mount, &["compile", "--json", "small.wat", &toolbox]);
    assert_eq!(ran.code, 1);
    for object in ran.json() {
        if object["path"] == "small.wat" {
            assert_eq!(object["source"], "compiled");
        } else {
            assert_eq!(
                object["error"],
                "its code cannot be stored: there is no space left"
            );
        }
    }
}

#[test]
fn a_damaged_entry_is_told_and_compiled_again() {
    let place = Place::new();
    place.store(0..1)[0].damage();
    let file = "0.wat";

    let ran = place.run(&["run", "--timing", file]).ok();
    assert_eq!(ran.timing().0, "compiled");
    assert!(
        ran.stderr
            .starts_with("module-cache: warning: a stored entry is damaged (name: "),
        "{ran:?}"
    );
    assert_eq!(place.run(&["run", "--timing", file]).timing().0, "stored");
}
