//! `help.txt`, beside this file: all that the command says of itself. A change of a help text shows in its diff.

use std::path::Path;
use std::{env, fs};

use crate::support::Place;

const UPDATE: &str = "UPDATE_CLI_REFERENCE";

#[test]
fn the_reference_says_what_the_command_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.txt");
    let said = all_help();
    if env::var_os(UPDATE).is_some() {
        fs::write(&path, &said).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(
        written == said,
        "tests/cli/help.txt is out of date; run `{UPDATE}=1 cargo test -p module-cache-cli reference`"
    );
}

fn all_help() -> String {
    let place = Place::new();
    let overview = help(&place, &[]);
    let mut all = section("module-cache", &overview);
    for command in commands(&overview) {
        all += "\n";
        all += &section(
            &format!("module-cache {command}"),
            &help(&place, &[command]),
        );
    }
    all
}

/// The commands in the order in which the overview lists them.
fn commands(overview: &str) -> Vec<&str> {
    let lines = overview.lines().skip_while(|line| *line != "Commands:");
    let names = lines
        .skip(1)
        .map_while(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    assert!(names.contains(&"run"), "{overview}");
    names
}

fn help(place: &Place, command: &[&str]) -> String {
    let args = [command, &["--help"]].concat();
    let output = place.command(&args).env("COLUMNS", "100").output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    // clap fills up the empty lines between the paragraphs of an option.
    text.lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect()
}

fn section(command: &str, text: &str) -> String {
    format!("$ {command} --help\n{text}")
}
