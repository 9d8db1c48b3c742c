//! The host as a program: what plugins answer, and where their modules come from, as the features say.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugins");

fn run(plugins: &Path, keep: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plugin-host"));
    command.arg(plugins).arg("7");
    if cfg!(feature = "filesystem") {
        command.arg("--cache-dir").arg(keep.join("cache"));
    }
    command.output().unwrap()
}

/// The output without the times.
fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines()
        .map(|line| line.split(" in ").next().unwrap_or_default().to_owned())
        .collect()
}

/// `kept` where the feature is on that keeps it, else `otherwise`.
fn source<'a>(feature: bool, kept: &'a str, otherwise: &'a str) -> &'a str {
    if feature { kept } else { otherwise }
}

#[test]
fn a_second_run_finds_what_the_features_keep() {
    let keep = tempfile::tempdir().unwrap();
    let run = || lines(&run(Path::new(SAMPLES), keep.path()));
    assert_eq!(run(), ["double: 14 (compiled", "square: 49 (compiled"]);
    let again = source(cfg!(feature = "filesystem"), "stored", "compiled");
    let expected = [
        format!("double: 14 ({again}"),
        format!("square: 49 ({again}"),
    ];
    assert_eq!(run(), expected);
}

#[test]
fn a_plugin_that_is_there_twice_is_loaded_as_the_features_say() {
    let keep = tempfile::tempdir().unwrap();
    for name in ["a.wat", "b.wat"] {
        fs::copy(
            Path::new(SAMPLES).join("double.wat"),
            keep.path().join(name),
        )
        .unwrap();
    }
    let stored = source(cfg!(feature = "filesystem"), "stored", "compiled");
    let again = source(cfg!(feature = "memory"), "resident", stored);
    let expected = ["a: 14 (compiled".to_owned(), format!("b: 14 ({again}")];
    assert_eq!(lines(&run(keep.path(), keep.path())), expected);
}

#[test]
fn what_is_no_plugin_is_named_with_the_reason() {
    for (text, reason) in [
        ("(module", "expected `)`"),
        ("(module (func (result i32)))", "type mismatch"),
        ("(module)", "`transform`"),
    ] {
        let keep = tempfile::tempdir().unwrap();
        fs::write(keep.path().join("bad.wat"), text).unwrap();
        let output = run(keep.path(), keep.path());
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("bad.wat is no plugin"), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}
