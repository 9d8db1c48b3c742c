//! `module-cache completions`: scripts that the shells take, and that know the commands.

use std::process::Command;

use crate::support::Place;

const COMMANDS: [&str; 14] = [
    "key",
    "run",
    "compile",
    "ls",
    "size",
    "verify",
    "prune",
    "clean",
    "export",
    "import",
    "push",
    "pull",
    "dir",
    "completions",
];

#[test]
fn every_shell_gets_every_command_and_its_options() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).quiet();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        for option in ["max-age", "unauthenticated", "cache-dir"] {
            assert!(script.contains(option), "{shell}: {option}");
        }
    }
    assert!(!place.cache().exists());
}

#[test]
fn bash_completes_what_is_typed() {
    let place = Place::new();
    let script = place.run(&["completions", "bash"]).quiet();
    let script = format!(
        "{script}\n\
         COMP_WORDS=(module-cache co) COMP_CWORD=1\n\
         _module__cache module-cache co module-cache\n\
         echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let completed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(completed, "compile completions\n");
}

#[test]
fn other_shells_are_an_error_that_names_these() {
    let place = Place::new();
    let ran = place.run(&["completions", "tcsh"]);
    assert!(ran.error(2).contains("bash, zsh, fish"), "{ran:?}");
    place.run(&["completions"]).error(2);
}
