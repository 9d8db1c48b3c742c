//! `module-cache dir`: which folder is the cache.

use std::process::Command;

use crate::support::{Place, Ran, exits_with};

#[track_caller]
fn dir(place: &Place, variables: &[(&str, &str)], args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_module-cache"))
        .arg("dir")
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(place.path())
        .output();
    Ran::new(&output.unwrap())
}

#[test]
fn the_option_comes_before_the_variable_and_that_before_the_default() {
    let place = Place::new();
    let home = ("HOME", "/people/somebody");
    let variable = ("MODULE_CACHE_DIR", "/srv/modules");
    let printed = |variables: &[_], args: &[_]| dir(&place, variables, args).quiet();
    assert_eq!(
        printed(&[home, variable], &["--cache-dir", "/opt/cache"]),
        "/opt/cache\n"
    );
    assert_eq!(printed(&[home, variable], &[]), "/srv/modules\n");
    // An empty variable is none.
    let empty = ("MODULE_CACHE_DIR", "");
    assert_eq!(printed(&[home, empty], &[]), printed(&[home], &[]));
}

#[cfg(not(target_os = "macos"))]
#[test]
fn the_default_follows_the_platform() {
    let place = Place::new();
    let home = ("HOME", "/people/somebody");
    assert_eq!(
        dir(&place, &[home], &[]).quiet(),
        "/people/somebody/.cache/module-cache\n"
    );
    assert_eq!(
        dir(&place, &[home, ("XDG_CACHE_HOME", "/caches")], &[]).quiet(),
        "/caches/module-cache\n"
    );
}

#[test]
fn a_relative_folder_is_printed_in_full() {
    let place = Place::new();
    let expected = place.path().canonicalize().unwrap().join("here");
    let printed = dir(&place, &[("MODULE_CACHE_DIR", "here")], &[]).quiet();
    assert_eq!(printed, format!("{}\n", expected.display()));
}

#[test]
fn nothing_is_created() {
    let place = Place::new();
    place.run(&["dir"]).ok();
    assert!(!place.cache().exists());
}

#[test]
fn without_a_home_the_error_says_what_to_set() {
    let place = Place::new();
    for home in [&[][..], &[("HOME", "")]] {
        let ran = dir(&place, home, &[]);
        let error = ran.error(1);
        assert!(
            error.contains("HOME is not set") && error.contains("set MODULE_CACHE_DIR"),
            "{error}"
        );
    }
}

#[test]
fn without_a_home_a_program_still_runs() {
    let place = Place::new();
    let file = place.file("exit.wat", exits_with(7));
    let output = Command::new(env!("CARGO_BIN_EXE_module-cache"))
        .arg("run")
        .arg(file)
        .env_clear()
        .output();
    let ran = Ran::new(&output.unwrap());
    assert_eq!(ran.code, 7);
    ran.one_line("module-cache: warning: HOME is not set");
}
