//! `module-cache compile`: what is found, what is reported, and who compiles when many do.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use crate::support::{Place, Ran, exits_with, prints, sample, sha256sum};

/// Source by file name.
fn sources(ran: &Ran) -> BTreeMap<String, String> {
    let of = |value: &serde_json::Value| {
        let path = value["path"].as_str().unwrap();
        let source = value["source"].as_str().unwrap_or("error");
        (path.to_owned(), source.to_owned())
    };
    ran.json().iter().map(of).collect()
}

#[test]
fn what_was_compiled_is_stored_for_compile_and_run() {
    let place = Place::new();
    let (module, component) = (sample("toolbox.wasm"), sample("toolbox.component.wasm"));
    let args = ["compile", "--json", &module, &component];
    for expected in ["compiled", "stored"] {
        let ran = place.run(&args).ok();
        assert_eq!(ran.stderr, "");
        assert!(sources(&ran).values().all(|source| source == expected));
    }
    for file in [module, component] {
        let ran = place.run(&["run", "--timing", &file, "calc", "1"]);
        assert_eq!(ran.timing().0, "stored");
    }
}

#[test]
fn json_says_what_is_where_in_the_cache() {
    let place = Place::new();
    place.file("exit.wat", exits_with(0));
    let ran = place.run(&["compile", "--json", "exit.wat", "missing.wasm"]);
    assert_eq!(ran.code, 1);
    let objects = ran.json();
    assert_eq!(objects.len(), 2);

    let stored = objects.iter().find(|object| object["path"] == "exit.wat");
    let stored = stored.unwrap().as_object().unwrap();
    let mut keys: Vec<_> = stored.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected = ["bytes", "elapsed_us", "engine", "hash", "path", "source"];
    assert_eq!(keys, expected);
    let (engine, hash) = (&stored["engine"], &stored["hash"]);
    let entry = place.cache().join("v1").join(engine.as_str().unwrap());
    let len = fs::metadata(entry.join(hash.as_str().unwrap()))
        .unwrap()
        .len();
    assert_eq!(stored["bytes"].as_u64(), Some(len));
    assert!(stored["elapsed_us"].as_u64() > Some(0));

    let failed = objects.iter().find(|object| object["path"] != "exit.wat");
    let failed = failed.unwrap().as_object().unwrap();
    assert_eq!(failed.len(), 2);
    assert_eq!(failed["error"], "no such file; check its name");
}

#[test]
fn people_get_a_line_for_each_file_and_a_summary() {
    let place = Place::new();
    place.file("a.wat", exits_with(0));
    place.file("b.wat", exits_with(1));
    let ran = place.run(&["compile", "a.wat", "b.wat"]).ok();
    let lines: Vec<_> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(lines[..2].iter().all(|line| line.starts_with("compiled ")));
    assert!(lines[2].starts_with("2 compiled, 0 stored before, 0 failed in "));
    assert_eq!(ran.stderr, "");
}

#[test]
fn folders_are_searched_to_any_depth_for_wasm_and_text() {
    let place = Place::new();
    let wasm = fs::read(sample("toolbox.wasm")).unwrap();
    place.file("in/a/b/c/d/e.wasm", &wasm);
    place.file("in/B.WAT", exits_with(3));
    place.file("in/notes.txt", "notes");
    place.file("in/wasm", "no extension");
    let ran = place.run(&["compile", "--json", "in"]).ok();
    let found: Vec<_> = sources(&ran).into_keys().collect();
    assert_eq!(found, ["in/B.WAT", "in/a/b/c/d/e.wasm"]);
}

#[test]
fn a_bad_file_is_reported_and_does_not_stop_the_rest() {
    let place = Place::new();
    for n in 0..6 {
        place.file(&format!("in/{n}.wat"), exits_with(n));
    }
    place.file("in/1.wat", "(module (nonsense))");
    place.file("in/3.wasm", "");
    symlink("nowhere", place.path().join("in/7.wasm")).unwrap();
    for jobs in ["1", "4"] {
        let ran = place.run(&["compile", "-j", jobs, "in"]);
        assert_eq!(ran.code, 1);
        let mut errors: Vec<_> = ran.stderr.lines().collect();
        errors.sort_unstable();
        assert_eq!(errors.len(), 3, "{ran:?}");
        for (error, file) in errors.iter().zip(["in/1.wat", "in/3.wasm", "in/7.wasm"]) {
            let start = format!("module-cache: error: {file}: ");
            assert!(error.starts_with(&start), "{error}");
        }
        assert!(ran.stdout.contains(", 3 failed in "), "{ran:?}");
        assert_eq!(ran.stdout.lines().count(), 6);
    }
}

#[test]
fn a_folder_without_wasm_is_one_clear_error() {
    let place = Place::new();
    place.file("in/notes.txt", "notes");
    let ran = place.run(&["compile", "--json", "in"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.json(),
        [serde_json::json!({
            "path": "in",
            "error": "no .wasm or .wat file in this folder; name another"
        })]
    );
    let ran = place.run(&["compile", "in"]);
    assert!(
        ran.error(1).contains("in: no .wasm or .wat file"),
        "{ran:?}"
    );
}

#[test]
fn a_loop_of_links_is_noted_and_not_followed() {
    let place = Place::new();
    place.file("in/a.wat", exits_with(0));
    symlink("..", place.path().join("in/up")).unwrap();
    let ran = place.run(&["compile", "--json", "in"]).ok();
    assert_eq!(sources(&ran).into_keys().collect::<Vec<_>>(), ["in/a.wat"]);
    let note = ran.one_line("module-cache: note: ");
    assert!(note.contains("in/up is a link to a folder"), "{note}");
    // However many there are, it is one line.
    symlink("..", place.path().join("in/up2")).unwrap();
    let ran = place.run(&["compile", "--json", "in"]).ok();
    ran.one_line("module-cache: note: ");
}

#[test]
fn links_that_are_named_or_lead_to_files_are_followed() {
    let place = Place::new();
    place.file("real/a.wat", exits_with(0));
    symlink("real", place.path().join("link")).unwrap();
    let ran = place.run(&["compile", "--json", "link"]).ok();
    assert_eq!(
        sources(&ran).into_keys().collect::<Vec<_>>(),
        ["link/a.wat"]
    );
    symlink("a.wat", place.path().join("real/b.wat")).unwrap();
    let ran = place.run(&["compile", "--json", "real"]).ok();
    assert_eq!(sources(&ran).len(), 2);
}

#[test]
fn pipes_in_a_folder_are_passed_over() {
    let place = Place::new();
    place.file("in/a.wat", exits_with(0));
    let fifo = place.path().join("in/pipe.wasm");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let ran = place.run(&["compile", "--json", "in"]).ok();
    assert_eq!(sources(&ran).len(), 1);
}

#[test]
fn files_of_equal_content_are_compiled_once() {
    let place = Place::new();
    for n in 0..8 {
        place.file(&format!("in/{n}.wat"), exits_with(0));
    }
    let ran = place.run(&["compile", "--json", "-j", "8", "in"]).ok();
    let sources = sources(&ran);
    let compiled = sources.values().filter(|source| *source == "compiled");
    assert_eq!((compiled.count(), sources.len()), (1, 8));
}

#[test]
fn of_many_processes_one_compiles() {
    let place = Place::new();
    let toolbox = sample("toolbox.wasm");
    let children: Vec<_> = (0..8)
        .map(|_| {
            place
                .command(&["compile", "--json", &toolbox])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut compiled = 0;
    for child in children {
        let ran = Ran::new(&child.wait_with_output().unwrap()).ok();
        match ran.json()[0]["source"].as_str().unwrap() {
            "compiled" => compiled += 1,
            source => assert_eq!(source, "stored"),
        }
    }
    assert_eq!(compiled, 1);
}

#[test]
fn names_that_are_not_utf8_work() {
    let place = Place::new();
    fs::create_dir(place.path().join("in")).unwrap();
    let name = OsStr::from_bytes(b"caf\xe9.wat");
    fs::write(place.path().join("in").join(name), prints("x", false)).unwrap();
    let ran = place.run(&["compile", "--json", "in"]).ok();
    assert_eq!(ran.json()[0]["path"], "in/caf\u{fffd}.wat");
    place.run(&["compile", "in"]).ok();
}

#[test]
fn a_name_cannot_write_lines_of_its_own() {
    let place = Place::new();
    let name = "in/x\nmodule-cache: error: \x1b[2J.wat";
    place.file(name, "(nonsense)");
    let ran = place.run(&["compile", "in"]);
    let error = ran.error(1);
    assert!(!error.contains('\x1b'), "{error:?}");
    let ran = place.run(&["run", name]);
    assert!(!ran.error(1).contains('\x1b'), "{ran:?}");
}

#[test]
fn text_and_binary_of_one_module_are_one_entry() {
    let place = Place::new();
    let text = place.file("m.wat", "(module)");
    place.file("m.wasm", b"\0asm\x01\0\0\0");
    place.run(&["compile", text.to_str().unwrap()]).ok();
    let ran = place.run(&["compile", "--json", "m.wasm"]).ok();
    assert_eq!(ran.json()[0]["source"], "stored");
}

#[test]
fn the_key_is_the_hash_that_was_asked_for() {
    let place = Place::new();
    // The shortest module, and one that is read in many pieces.
    let text = place.file("m.wat", "(module)");
    let binary = place.file("m.wasm", b"\0asm\x01\0\0\0");
    let toolbox = sample("toolbox.wasm");
    let key = |file: &str, function: &[&str]| {
        let ran = place.run(&[&["compile", "--json", file], function].concat());
        ran.ok().json()[0]["hash"].as_str().unwrap().to_owned()
    };
    let sha256 = ["--hash", "sha256"];
    assert_eq!(key("m.wasm", &sha256), sha256sum(binary));
    assert_eq!(key(text.to_str().unwrap(), &sha256), key("m.wasm", &sha256));
    assert_eq!(key(&toolbox, &sha256), sha256sum(&toolbox));

    assert_eq!(key("m.wasm", &["--hash", "blake3"]), key("m.wasm", &[]));
    assert_ne!(key("m.wasm", &[]), key("m.wasm", &sha256));
    // The one of `run`.
    let ran = place.run(&["run", "--timing", &toolbox, "calc", "1"]).ok();
    assert_eq!(ran.timing(), ("compiled".to_owned(), key(&toolbox, &[])));
}

#[test]
fn an_engine_or_a_hash_that_does_not_exist_is_one_clear_error() {
    let place = Place::new();
    place.file("m.wat", "(module)");
    for engine in ["wasmer", "wasmtime-47", "Wasmtime", ""] {
        let ran = place.run(&["compile", "--engine", engine, "m.wat"]);
        let error = ran.error(2);
        let names = "wasmtime, wasmer-cranelift, wasmer-singlepass";
        assert!(
            error.contains("--engine") && error.contains(names),
            "{error}"
        );
    }
    for function in ["md5", "SHA256", ""] {
        let ran = place.run(&["compile", "--hash", function, "m.wat"]);
        let error = ran.error(2);
        assert!(
            error.contains("--hash") && error.contains("blake3, sha256"),
            "{error}"
        );
    }
    assert!(!place.cache().exists());
}

#[cfg(not(feature = "wasmer"))]
#[test]
fn a_build_without_wasmer_names_the_feature_that_brings_it() {
    let place = Place::new();
    place.file("m.wat", "(module)");
    for (engine, feature) in [
        ("wasmer-cranelift", "`--features wasmer`"),
        ("wasmer-singlepass", "`--features wasmer-singlepass`"),
    ] {
        let ran = place.run(&["compile", "--engine", engine, "m.wat"]);
        let error = ran.error(2);
        assert!(error.contains(feature), "{error}");
    }
}

#[test]
fn a_cache_that_everybody_may_read_stays_one() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::new();
    place.file("one.wat", exits_with(1));
    place.file("two.wat", exits_with(2));
    let mode = |name: &str| {
        let path = place.cache().join(name);
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    place.run(&["compile", "one.wat"]).ok();
    assert_eq!((mode(""), mode("v1")), (0o700, 0o700));
    place.run(&["compile", "--world-readable", "one.wat"]).ok();
    fs::rename(place.v1(), place.path().join("old")).unwrap();
    place.run(&["compile", "--world-readable", "two.wat"]).ok();
    let engine = fs::read_dir(place.v1()).unwrap().find_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.starts_with("wasmtime").then(|| format!("v1/{name}"))
    });
    let folders = ["", "v1", &engine.unwrap()].map(mode);
    assert_eq!(folders, [0o755; 3]);
    assert_eq!((mode("v1/ledger"), mode("v1/tmp")), (0o600, 0o700));
}
