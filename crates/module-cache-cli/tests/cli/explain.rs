//! `module-cache inspect` and `why`, and settings of engines that are not the default.

use crate::support::{Place, exits_with};

/// What `why` says of `0.wat`, and its exit code.
fn why(place: &Place, args: &[&str]) -> (i32, String) {
    let ran = place.run(&[&["why"], args, &["0.wat"]].concat());
    assert_eq!(ran.stderr, "");
    (ran.code, ran.stdout)
}

#[test]
fn why_names_what_differs() {
    let settings = [
        ("[wasm]\nfuel = 1", "consume_fuel is true, and false here"),
        (
            "[wasm]\nepoch-interruption = true",
            "epoch_interruption is true, and false here",
        ),
        (
            "[optimize]\nopt-level = 0",
            "opt_level is none, and speed here",
        ),
    ];
    for (toml, expected) in settings {
        let place = Place::new();
        place.file("0.wat", exits_with(0));
        place.file("engine.toml", toml);
        let config = ["--engine-config", "engine.toml"];
        place
            .run(&[&["compile"], &config[..], &["0.wat"]].concat())
            .ok();

        let (code, text) = why(&place, &[]);
        assert_eq!(code, 1);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(
            lines[0].contains(": there is no code of wasmtime-"),
            "{text}"
        );
        assert!(lines[1].ends_with(&format!(": {expected}")), "{text}");

        let (code, text) = why(&place, &config);
        assert_eq!((code, text.lines().count()), (0, 1), "{text}");
        assert!(text.contains(": there is code of wasmtime-"), "{text}");
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn code_of_a_level_that_is_used_is_not_explained() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    place.run(&["compile", "--cpu", "x86-64", "0.wat"]).ok();
    let (code, text) = why(&place, &[]);
    assert_eq!(code, 0, "every level of this CPU is accepted");
    assert!(
        text.lines().next().unwrap().contains("-x86-64-linux"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
#[cfg(all(feature = "all-arch", target_arch = "x86_64"))]
fn why_names_another_target() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    let target = "aarch64-unknown-linux-gnu";
    place.run(&["compile", "--target", target, "0.wat"]).ok();
    let (code, text) = why(&place, &[]);
    assert_eq!(code, 1);
    let expected = format!("target is {target}, and x86_64-unknown-linux-gnu here");
    assert!(text.contains(&expected), "{text}");
}

#[test]
#[cfg(feature = "wasmer")]
fn why_names_another_runtime() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    let wasmer = ["--engine", "wasmer-cranelift"];
    place
        .run(&[&["compile"], &wasmer[..], &["0.wat"]].concat())
        .ok();
    let (code, text) = why(&place, &[]);
    assert_eq!(code, 1);
    assert!(text.contains("it is code of wasmer-7."), "{text}");
    assert_eq!(why(&place, &wasmer).0, 0);
    let ran = place.run(&["inspect"]).ok();
    for line in ["cpu sse3: ", "wasm simd: true"] {
        assert!(ran.stdout.contains(&format!("\n  {line}")), "{ran:?}");
    }
}

#[test]
fn a_file_that_is_no_settings_is_an_error_that_says_why() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    for (toml, reason) in [
        ("[wasm]\nfule = 1", "fule"),
        ("[wasm", "TOML"),
        (&"#".repeat(2 << 20), "larger than"),
        ("[codegen]\ncache = true", "disabled at compile time"),
    ] {
        place.file("engine.toml", toml);
        let ran = place.run(&["compile", "--engine-config", "engine.toml", "0.wat"]);
        let error = ran.error(1);
        assert!(
            error.contains("engine.toml") && error.contains(reason),
            "{error}"
        );
    }
    let ran = place.run(&["why", "--engine-config", "none.toml", "0.wat"]);
    assert!(ran.error(1).contains("none.toml"), "{ran:?}");
    assert!(!place.cache().exists());
}

#[test]
fn why_reads_standard_input() {
    let place = Place::new();
    let wat = exits_with(0);
    place.file("0.wat", &wat);
    place.run(&["compile", "0.wat"]).ok();
    let ran = place.run_with_input(&["why", "-"], wat.as_bytes()).ok();
    assert!(
        ran.stdout.contains(": there is code of wasmtime-"),
        "{ran:?}"
    );
}

#[test]
fn settings_that_change_no_code_are_the_default() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    place.run(&["compile", "0.wat"]).ok();
    for toml in [
        "[optimize]\npooling-allocator = true",
        "[wasm]\ncomponent-model = true",
    ] {
        place.file("engine.toml", toml);
        assert_eq!(why(&place, &["--engine-config", "engine.toml"]).0, 0);
    }
    place.file("engine.toml", "[wasm]\ncomponent-model = false");
    assert_eq!(why(&place, &["--engine-config", "engine.toml"]).0, 1);
}

#[test]
fn settings_that_say_nothing_are_the_default() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    place.file("engine.toml", "");
    place.run(&["compile", "0.wat"]).ok();
    assert_eq!(why(&place, &["--engine-config", "engine.toml"]).0, 0);
}

#[test]
fn inspect_says_what_an_entry_depends_on() {
    let place = Place::new();
    let stored = place.store(0..2);
    let ran = place.run(&["inspect", &place.hashes()[0]]).ok();
    for line in [
        "signed: no",
        "  epoch_interruption: false",
        "  opt_level: speed",
        "  wasm simd: true",
        // As of wasmtime with its default features.
        "  concurrency_support: true",
        "  collector: Some(Copying)",
    ] {
        assert!(ran.stdout.lines().any(|found| found == line), "{line}");
    }
    assert_eq!(ran.stdout.matches("\nengine: wasmtime-").count(), 1);

    stored[0].damage();
    let ran = place.run(&["inspect"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stdout.matches("hash: ").count(), 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot be used"), "{ran:?}");
    let ran = place.run(&["inspect", "0123456789abcdef"]);
    assert!(ran.error(1).contains("no such module"), "{ran:?}");
}
