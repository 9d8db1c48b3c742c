//! `compile --cpu` and `--target`: who finds what was compiled for whom.

use crate::support::{Place, exits_with, sample};

/// The levels that the machine of these tests has.
const LEVELS: &[&str] = if cfg!(target_arch = "x86_64") {
    &["x86-64-v3", "x86-64-v2", "x86-64"]
} else {
    &["aarch64"]
};

/// The engines that `ls` and `size` show.
fn engines(place: &Place, command: &str) -> Vec<String> {
    let ran = place.run(&[command, "--json"]).ok();
    let objects = ran.json();
    let of = |object: &serde_json::Value| match &object["engines"] {
        serde_json::Value::Array(engines) => engines.clone(),
        _ => vec![object.clone()],
    };
    let engines = objects.iter().flat_map(of);
    let name = |object: serde_json::Value| object["engine"].as_str().unwrap().to_owned();
    engines.map(name).collect()
}

fn compile(place: &Place, args: &[&str]) -> String {
    let ran = place.run(&[&["compile", "--json"], args].concat()).ok();
    ran.json()[0]["source"].as_str().unwrap().to_owned()
}

#[test]
fn code_of_each_level_is_run_and_the_level_is_shown() {
    for level in LEVELS {
        for (file, kind) in [
            ("toolbox.wasm", "module"),
            ("toolbox.component.wasm", "component"),
        ] {
            let (place, file) = (Place::new(), sample(file));
            assert_eq!(compile(&place, &["--cpu", level, &file]), "compiled");
            assert_eq!(compile(&place, &["--cpu", level, &file]), "stored");
            for command in ["ls", "size"] {
                let engines = engines(&place, command);
                assert_eq!(engines.len(), 1, "{engines:?}");
                assert!(
                    engines[0].contains(&format!("-{kind}-{level}-")),
                    "{engines:?}"
                );
            }
            let ran = place.run(&["run", "--timing", &file, "calc", "6 * 7"]).ok();
            assert_eq!(
                (ran.timing().0.as_str(), ran.stdout.trim()),
                ("stored", "42")
            );
            assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
            assert_eq!(
                engines(&place, "ls").len(),
                1,
                "nothing was stored beside it"
            );
        }
    }
}

#[test]
fn what_is_compiled_for_this_cpu_comes_before_any_level() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    for level in LEVELS {
        assert_eq!(compile(&place, &["--cpu", level, "0.wat"]), "compiled");
    }
    assert_eq!(
        compile(&place, &["0.wat"]),
        "compiled",
        "a level does not do"
    );
    assert_eq!(compile(&place, &["0.wat"]), "stored");
    let ran = place.run(&["run", "--timing", "0.wat"]).ok();
    assert_eq!(ran.timing().0, "stored");
    let engines = engines(&place, "ls");
    assert_eq!(engines.len(), LEVELS.len() + 1, "{engines:?}");
}

#[test]
fn damaged_code_for_this_cpu_does_not_hide_that_of_a_level() {
    let place = Place::new();
    for run in [&["run"][..], &["run", "--tiered"]] {
        for own in place.store(0..1) {
            own.damage();
        }
        compile(&place, &["--cpu", LEVELS[0], "0.wat"]);
        let ran = place.run(&[run, &["--timing", "0.wat"]].concat()).ok();
        assert_eq!(ran.timing().0, "stored", "{run:?}");
    }
}

#[test]
#[cfg(feature = "remote")]
fn a_storage_that_was_filled_for_a_level_serves_a_host_that_never_compiles() {
    let shared = Place::new();
    let storage = format!("fs://{}", shared.path().join("shared").display());
    let remote = ["--remote", &storage, "--unauthenticated"];
    let [ci, host] = [Place::new(), Place::new()];
    let file = sample("toolbox.wasm");
    let level = LEVELS[LEVELS.len() / 2];
    assert_eq!(
        compile(&ci, &[&remote[..], &["--cpu", level, &file]].concat()),
        "compiled"
    );
    let ran = host
        .run(&[&["run", "--timing"], &remote[..], &[&file, "calc", "1"]].concat())
        .ok();
    assert_eq!(ran.timing().0, "stored");
    // It lies in the folder as what it is.
    assert_eq!(engines(&host, "ls"), engines(&ci, "ls"));
    let ran = host.run(&["run", "--timing", &file, "calc", "1"]).ok();
    assert_eq!(ran.timing().0, "stored");
}

#[test]
#[cfg(all(feature = "all-arch", target_arch = "x86_64"))]
fn code_for_another_architecture_is_stored_and_is_a_miss_here() {
    let place = Place::new();
    for (file, kind) in [
        ("toolbox.wasm", "module"),
        ("toolbox.component.wasm", "component"),
    ] {
        let file = sample(file);
        let target = ["--target", "aarch64-unknown-linux-gnu", &file];
        assert_eq!(compile(&place, &target), "compiled");
        assert_eq!(compile(&place, &target), "stored");
        let engines = engines(&place, "ls");
        let name = format!("-{kind}-aarch64-linux-gnu-");
        assert!(
            engines.iter().any(|engine| engine.contains(&name)),
            "{engines:?}"
        );
        let ran = place.run(&["run", "--timing", &file, "calc", "6 * 7"]).ok();
        assert_eq!(
            (ran.timing().0.as_str(), ran.stdout.trim()),
            ("compiled", "42")
        );
    }
    place.run(&["verify"]).ok();
}

#[test]
#[cfg(all(not(feature = "all-arch"), target_arch = "x86_64"))]
fn a_build_without_other_architectures_says_so() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    let ran = place.run(&["compile", "--target", "aarch64-unknown-linux-gnu", "0.wat"]);
    assert!(ran.error(1).contains("its feature `all-arch`"), "{ran:?}");
}

#[test]
fn machines_that_do_not_exist_are_one_clear_error() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    let other = if cfg!(target_arch = "x86_64") {
        "aarch64"
    } else {
        "x86-64-v3"
    };
    for (args, code, message) in [
        (&["--cpu", "x86-64-v9"][..], 2, "x86-64-v9"),
        (&["--cpu", other], 1, "no such CPU level"),
        (&["--target", "nonsense"], 1, "unknown target nonsense"),
        (
            &["--target", "riscv64gc-unknown-linux-gnu"],
            1,
            "no such CPU level",
        ),
    ] {
        let ran = place.run(&[&["compile"], args, &["0.wat"]].concat());
        assert!(ran.error(code).contains(message), "{ran:?}");
    }
}

#[test]
#[cfg(feature = "wasmer")]
fn levels_are_for_wasmtime_alone() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    let ran = place.run(&[
        "compile",
        "--engine",
        "wasmer-cranelift",
        "--cpu",
        LEVELS[0],
        "0.wat",
    ]);
    assert!(
        ran.error(2).contains("only with --engine wasmtime"),
        "{ran:?}"
    );
}
