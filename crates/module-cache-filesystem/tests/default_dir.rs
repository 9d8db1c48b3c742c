//! The folder of a program, whatever the environment says. Each environment is that of a process of its own.

#![cfg(all(unix, not(target_vendor = "apple")))]

use std::process::Command;

use module_cache_filesystem::FileSystemCache;

const PROGRAM: &str = "MODULE_CACHE_TEST_PROGRAM";

/// What a process with these variables finds for a program, or the error and its cause.
fn found(program: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_child", "--nocapture"])
        .env_remove("HOME")
        .env_remove("XDG_CACHE_HOME")
        .envs(variables.iter().copied())
        .env(PROGRAM, program)
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let line = output.lines().find_map(|line| line.split_once("found: "));
    line.unwrap().1.to_owned()
}

#[test]
fn as_a_child() {
    let Ok(program) = std::env::var(PROGRAM) else {
        return;
    };
    match FileSystemCache::default_dir(&program) {
        Ok(path) => println!("found: {}", path.display()),
        Err(error) => println!("found: {}", std::error::Error::source(&error).unwrap()),
    }
}

#[test]
fn the_folder_is_below_the_absolute_one_that_the_environment_names() {
    let home = ("HOME", "/people/me");
    assert_eq!(found("host", &[home]), "/people/me/.cache/host");
    let caches = ("XDG_CACHE_HOME", "/caches");
    assert_eq!(found("host", &[home, caches]), "/caches/host");
    assert_eq!(found("host", &[caches]), "/caches/host");
    let relative = ("XDG_CACHE_HOME", "relative");
    assert_eq!(found("host", &[home, relative]), "/people/me/.cache/host");
}

#[test]
fn without_an_absolute_one_there_is_none() {
    for variables in [
        &[][..],
        &[("HOME", "")],
        &[("HOME", "relative")],
        &[("XDG_CACHE_HOME", "relative")],
    ] {
        let text = "HOME is not set, or not absolute";
        assert_eq!(found("host", variables), text, "{variables:?}");
    }
}

#[test]
fn a_path_is_not_the_name_of_a_program() {
    for program in ["", ".", "..", "/", "a/b", "a/", "a/.", "../a"] {
        let error = FileSystemCache::default_dir(program).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "it is not the name of a folder", "{program:?}");
    }
    assert!(FileSystemCache::default_dir("a\0b").is_err());
}
