//! `module-cache run`: what goes into a program, what comes out, and what cannot be run.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Place, exits_with, prints, sample};

#[test]
fn the_second_run_is_stored() {
    let place = Place::new();
    for file in ["toolbox.wasm", "toolbox.component.wasm"] {
        let file = sample(file);
        let args = ["run", "--timing", &file, "calc", "6 * 7"];
        let first = place.run(&args).ok();
        let second = place.run(&args).ok();
        assert_eq!((&*first.stdout, &*second.stdout), ("42\n", "42\n"));
        let (source, hash) = first.timing();
        assert_eq!(source, "compiled");
        assert_eq!(second.timing(), ("stored".to_owned(), hash));
    }
}

#[test]
fn a_tiered_run_leaves_what_a_run_without_tiers_loads() {
    let place = Place::new();
    for file in ["toolbox.wasm", "toolbox.component.wasm"] {
        let file = sample(file);
        let first = place.run(&["run", "--tiered", "--timing", &file, "calc", "6 * 7"]);
        assert_eq!((&*first.stdout, first.code), ("42\n", 0), "{first:?}");
        assert_eq!(first.timing().0, "compiled");
        for args in [&["run"][..], &["run", "--tiered"]] {
            let args = [args, &["--timing", &file, "calc", "6 * 7"]].concat();
            let ran = place.run(&args).ok();
            assert_eq!((&*ran.stdout, &*ran.timing().0), ("42\n", "stored"));
        }
    }
    // What was run first is gone.
    let listed = place.run(&["ls", "--json"]).ok();
    let engines = listed
        .json()
        .into_iter()
        .map(|entry| entry["engine"].to_string());
    let engines: Vec<_> = engines.collect();
    assert_eq!(engines.len(), 2);
    assert!(
        engines.iter().all(|engine| !engine.contains("winch")),
        "{engines:?}"
    );
}

#[test]
fn a_tiered_run_of_what_winch_does_not_compile_waits_for_cranelift() {
    let place = Place::new();
    let text = r#"(module (func $end (return)) (func (export "_start") (return_call $end)))"#;
    let file = place.file("tail.wat", text);
    let file = file.to_str().unwrap();
    for expected in ["compiled", "stored"] {
        let ran = place.run(&["run", "--tiered", "--timing", file]).ok();
        assert_eq!(ran.timing().0, expected);
    }
}

#[test]
fn nothing_is_said_without_timing() {
    let place = Place::new();
    let file = sample("toolbox.wasm");
    assert_eq!(place.run(&["run", &file, "echo", "hi"]).quiet(), "hi\n");
    assert_eq!(place.run(&["run", &file, "echo", "hi"]).quiet(), "hi\n");
}

#[test]
fn no_cache_compiles_each_time_and_stores_nothing() {
    let place = Place::new();
    let file = place.file("exit.wat", exits_with(0));
    for _ in 0..2 {
        let args = ["run", "--no-cache", "--timing", file.to_str().unwrap()];
        assert_eq!(place.run(&args).ok().timing().0, "compiled");
    }
    assert!(!place.cache().exists());
}

#[test]
fn an_exit_code_is_passed_through() {
    let place = Place::new();
    for code in [0, 1, 125, 126, 200, 255] {
        let file = place.file("exit.wat", exits_with(code));
        let ran = place.run(&["run", "--timing", file.to_str().unwrap()]);
        assert_eq!(ran.code, code);
        ran.timing();
    }
    let toolbox = sample("toolbox.wasm");
    assert_eq!(place.run(&["run", &toolbox, "exit", "9"]).code, 9);
    let component = sample("toolbox.component.wasm");
    let ran = place.run(&["run", "--timing", &component, "exit", "9"]);
    assert_eq!(ran.code, 1);
    ran.timing();
}

#[test]
fn a_trap_is_one_line_and_134() {
    let place = Place::new();
    let file = place.file(
        "trap.wat",
        r#"(module (func $boom unreachable) (func (export "_start") (call $boom)))"#,
    );
    let ran = place.run(&["run", file.to_str().unwrap()]);
    let error = ran.error(134);
    assert!(
        error.contains("trap.wat: trapped in `boom`") && error.contains("unreachable"),
        "{error}"
    );
    let ran = place.run(&["run", "--timing", file.to_str().unwrap()]);
    assert_eq!((ran.code, ran.timing().0.as_str()), (134, "stored"));
}

#[test]
fn a_stack_overflow_is_a_trap() {
    let place = Place::new();
    let file = place.file(
        "deep.wat",
        r#"(module (func $deeper (export "_start") (call $deeper)))"#,
    );
    let ran = place.run(&["run", file.to_str().unwrap()]);
    assert!(ran.error(134).contains("call stack exhausted"), "{ran:?}");
}

#[test]
fn arguments_belong_to_the_program_even_if_they_look_like_options() {
    let place = Place::new();
    for file in ["toolbox.wasm", "toolbox.component.wasm"] {
        let args = ["--timing", "--help", "-x", "--", "ö"];
        let file = sample(file);
        let ran = place.run(&[&["run", &file, "echo"], &args[..]].concat());
        assert_eq!(ran.quiet(), "--timing --help -x -- ö\n");
    }
}

#[test]
fn standard_input_reaches_the_program() {
    let place = Place::new();
    let big: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
    for file in ["toolbox.wasm", "toolbox.component.wasm"] {
        let file = sample(file);
        let ran = place.run_with_input(&["run", &file, "digest"], b"abc");
        assert!(
            ran.stdout
                .starts_with("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            "{ran:?}"
        );
        let mut child = place
            .command(&["run", &file, "cat"])
            .stdin(fs::File::open(place.file("big", &big)).unwrap())
            .stdout(fs::File::create(place.path().join("copy")).unwrap())
            .spawn()
            .unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(fs::read(place.path().join("copy")).unwrap(), big);
    }
}

#[test]
fn standard_error_reaches_the_caller() {
    let place = Place::new();
    let ran = place.run(&["run", &sample("toolbox.wasm"), "nonsense"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.starts_with("toolbox: "), "{ran:?}");
}

#[test]
fn only_the_named_variables_reach_the_program() {
    let place = Place::new();
    let mut command = place.command(&["run"]);
    command.args(["--env", "A=1=2", "--env", "INHERITED", "--env", "UNSET"]);
    command.args([
        "--env",
        "TWICE=first",
        "--env",
        "TWICE=second",
        "--env",
        "EMPTY=",
    ]);
    command.args([&sample("toolbox.wasm"), "env"]);
    command.env("INHERITED", "yes").env_remove("UNSET");
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A=1=2", "EMPTY=", "INHERITED=yes", "TWICE=second"]);
}

#[test]
fn only_the_named_folders_reach_the_program() {
    let place = Place::new();
    place.file("data/hello.txt", "hello\n");
    place.file("secret.txt", "secret\n");
    for file in ["toolbox.wasm", "toolbox.component.wasm"] {
        let file = sample(file);
        let cat = |dirs: &[&str], path: &str| {
            let args = [&["run"], dirs, &[&file, "cat", path]].concat();
            place.run(&args)
        };
        assert_eq!(cat(&["--dir", "data"], "data/hello.txt").quiet(), "hello\n");
        assert_eq!(cat(&["--dir=data::/d"], "/d/hello.txt").quiet(), "hello\n");
        assert_ne!(cat(&[], "data/hello.txt").code, 0);
        assert_ne!(cat(&["--dir", "data"], "data/../secret.txt").code, 0);
        assert_ne!(cat(&["--dir", "data"], "secret.txt").code, 0);
    }
}

#[test]
fn a_named_folder_can_be_written_to() {
    let place = Place::new();
    fs::create_dir(place.path().join("out")).unwrap();
    let toolbox = sample("toolbox.wasm");
    let args = ["run", "--dir", "out::/o", &toolbox, "save", "/o/new.txt"];
    place.run_with_input(&args, b"kept").ok();
    assert_eq!(fs::read(place.path().join("out/new.txt")).unwrap(), b"kept");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let place = Place::new();
    let ran = place.run(&["run", "--dir", "nowhere", &sample("toolbox.wasm")]);
    assert!(
        ran.error(1).contains("cannot open nowhere of --dir"),
        "{ran:?}"
    );
}

#[test]
fn text_is_a_program_too() {
    let place = Place::new();
    let file = place.file("hello.wat", prints("hello", false));
    assert_eq!(
        place.run(&["run", file.to_str().unwrap()]).quiet(),
        "hello\n"
    );
    // What counts is the content, not the name.
    let file = place.file(
        "program",
        format!(";; comment\n {}", prints("hello", false)),
    );
    assert_eq!(
        place.run(&["run", file.to_str().unwrap()]).quiet(),
        "hello\n"
    );
}

#[test]
fn a_dash_reads_the_program_from_standard_input() {
    let place = Place::new();
    let toolbox = fs::read(sample("toolbox.wasm")).unwrap();
    let ran = place.run_with_input(&["run", "--timing", "-", "calc", "1 + 1"], &toolbox);
    assert_eq!((ran.code, &*ran.stdout), (0, "2\n"));
    // Under the hash that the file has, so the file is stored now.
    let ran = place.run(&["run", "--timing", &sample("toolbox.wasm"), "calc", "1 + 1"]);
    assert_eq!(ran.timing().0, "stored");
    let ran = place.run_with_input(&["run", "-"], prints("text", false).as_bytes());
    assert_eq!(ran.quiet(), "text\n");
}

#[test]
fn what_is_not_a_program_is_one_clear_error() {
    let place = Place::new();
    let cases: [(&str, &[u8], &str); 9] = [
        (
            "notes.txt",
            b"some notes",
            "notes.txt: not WebAssembly: it starts with \"some notes\"",
        ),
        ("empty.wasm", b"", "empty.wasm: empty"),
        (
            "blank.wat",
            b" \n ",
            "blank.wat: not valid WebAssembly text",
        ),
        ("short.wasm", b"\0asm\x01", "short.wasm: truncated"),
        (
            "new.wasm",
            b"\0asm\x02\0\0\0",
            "new.wasm: this version of WebAssembly is not supported",
        ),
        (
            "cut.wasm",
            b"\0asm\x01\0\0\0\x01\xff",
            "cut.wasm: cannot compile the module",
        ),
        (
            "bad.wat",
            b"(module\n  (func i32.nonsense))",
            "(line:column 2:9)",
        ),
        (
            "library.wat",
            b"(module (func (export \"f\")))",
            "a library, not a program",
        ),
        ("pieces.wat", b"(component)", "a library, not a program"),
    ];
    for (name, content, expected) in cases {
        place.file(name, content);
        let ran = place.run(&["run", name]);
        assert!(ran.error(1).contains(expected), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
    let import = r#"(module (import "env" "gl" (func)) (func (export "_start")))"#;
    place.file("import.wat", import);
    let ran = place.run(&["run", "import.wat"]);
    assert!(ran.error(1).contains("env::gl"), "{ran:?}");
}

#[test]
fn what_is_not_there_is_one_clear_error() {
    let place = Place::new();
    fs::create_dir(place.path().join("folder")).unwrap();
    symlink("loop.wasm", place.path().join("loop.wasm")).unwrap();
    for (file, expected) in [
        ("missing.wasm", "missing.wasm: no such file"),
        ("folder", "folder: a folder"),
        ("loop.wasm", "loop.wasm: cannot be opened: "),
        ("-", "standard input: empty"),
    ] {
        let ran = place.run(&["run", file]);
        assert!(ran.error(1).contains(expected), "{ran:?}");
    }
}

#[test]
fn a_wrong_command_line_is_one_clear_error() {
    let place = Place::new();
    place.file("x.wasm", "a program");
    for (args, expected) in [
        (&["run"][..], "<FILE>"),
        (&["run", "--nonsense", "x.wasm"], "'--nonsense'"),
        (&["run", "--env", "=1", "x.wasm"], "needs a name"),
        (
            &["run", "--dir", "::/x", "x.wasm"],
            "--dir '::/x' lacks a folder",
        ),
        (&["compile"], "<PATH>"),
        (&["compile", "--bogus"], "see `module-cache help compile`"),
        (&["compile", "-j", "0", "x"], "'0'"),
        (&["nonsense"], "'nonsense'"),
        (&["nonsense"], "see `module-cache help`"),
        (&["x.wasm"], "`module-cache run x.wasm` runs a program"),
    ] {
        let ran = place.run(args);
        assert!(ran.error(2).contains(expected), "{ran:?}");
    }
}

#[test]
fn names_that_are_not_utf8_work() {
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.wat");
    fs::write(place.path().join(name), prints("hello", false)).unwrap();
    let output = place.command(&["run"]).arg(name).output().unwrap();
    assert_eq!(output.stdout, b"hello\n");
    // WASI has no such arguments, though.
    let toolbox = sample("toolbox.wasm");
    let output = place
        .command(&["run", &toolbox, "echo"])
        .arg(name)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not UTF-8"));
}

#[test]
fn help_teaches_each_command() {
    let place = Place::new();
    for command in [
        "run", "compile", "ls", "size", "verify", "prune", "clean", "export", "import", "push",
        "pull", "dir",
    ] {
        let help = place.run(&[command, "--help"]).quiet();
        assert!(help.contains("Examples:\n  "), "{help}");
        assert!(
            help.contains(&format!("  module-cache {command}")),
            "{help}"
        );
        assert!(help.contains("MODULE_CACHE_DIR"), "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
    }
    assert!(place.run(&["--help"]).quiet().contains("Examples:"));
}
