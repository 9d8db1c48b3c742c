//! `docs/cli.md`: all that the command says of itself, on one page.

use std::path::Path;
use std::{env, fs};

use crate::support::Place;

const UPDATE: &str = "UPDATE_CLI_REFERENCE";

const INTRODUCTION: &str = "\
# Command reference

What `module-cache help` says of each command. A test compares this page with the command, and writes it anew where
`UPDATE_CLI_REFERENCE` is set: `UPDATE_CLI_REFERENCE=1 cargo test -p module-cache-cli reference`.
";

#[test]
fn the_reference_says_what_the_command_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let page = page();
    if env::var_os(UPDATE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(
        written == page,
        "docs/cli.md is out of date; run `{UPDATE}=1 cargo test -p module-cache-cli reference`"
    );
}

fn page() -> String {
    let place = Place::new();
    let overview = help(&place, &[]);
    let mut page = INTRODUCTION.to_owned();
    page += &section("module-cache", &overview);
    for command in commands(&overview) {
        let help = help(&place, &[command]);
        page += &section(&format!("module-cache {command}"), &help);
    }
    page
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

fn section(title: &str, text: &str) -> String {
    format!("\n## {title}\n\n```text\n{text}```\n")
}
