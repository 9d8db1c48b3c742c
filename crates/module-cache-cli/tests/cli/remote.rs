//! `--remote`: what hosts share, whom they believe, and what a storage costs that does not work.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::host::{Host, key_of, with_credentials};
use crate::servers;
use crate::support::{Place, Ran, exits_with, on_mount, prints, sample};

const RUN: [&str; 3] = ["run", "--timing", "0.wat"];

/// Two hosts, and a program on each.
fn two_hosts(uri: &str) -> [Host; 2] {
    [(); 2].map(|()| {
        let host = Host::of(uri);
        host.place.file("0.wat", exits_with(0));
        host
    })
}

/// The URI of a folder that hosts share.
fn shared_folder(place: &Place) -> String {
    format!("fs://{}", place.path().join("shared").display())
}

#[test]
fn what_one_host_compiles_the_other_runs_and_keeps() {
    let shared = Place::new();
    for uri in [servers::s3(), servers::redis(), shared_folder(&shared)] {
        let [first, second] = two_hosts(&uri);
        let (source, hash) = first.run(&RUN).ok().timing();
        assert_eq!(source, "compiled", "{uri}");
        let ran = second.run(&RUN).ok();
        assert_eq!(ran.timing(), ("stored".to_owned(), hash), "{uri}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
        assert_eq!(second.source_alone("0.wat"), "stored");
    }
}

/// The engines of the entries in a folder that hosts share.
fn engines_in(shared: &Place) -> Vec<String> {
    let files = files_below(&shared.path().join("shared/v1"));
    let engine = |file: &PathBuf| {
        file.iter()
            .nth_back(1)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned()
    };
    files.iter().map(engine).collect()
}

#[test]
fn a_tiered_run_that_no_folder_keeps_uploads_what_cranelift_compiled() {
    let shared = Place::new();
    let host = Host::of(&shared_folder(&shared));
    host.place.file("no-folder", "");
    // As often as the upload is lost if nobody waits for it.
    for code in 0..16 {
        host.place.file("program.wat", exits_with(code));
        let args = ["run", "--tiered", "--cache-dir", "no-folder", "program.wat"];
        assert_eq!(host.run(&args).code, code);
    }
    let engines = engines_in(&shared);
    assert_eq!(engines.len(), 16, "{engines:?}");
    assert!(
        engines.iter().all(|engine| !engine.contains("winch")),
        "{engines:?}"
    );
}

#[test]
fn a_tiered_run_with_a_folder_that_can_only_be_read_uploads_what_cranelift_compiled() {
    let (place, shared) = (Place::new(), Place::new());
    place.store(0..1);
    place.move_cache_to_disk();
    place.file("new.wat", exits_with(5));
    let (mount, storage) = ("--bind -o ro disk", shared_folder(&shared));
    let args = [
        "run",
        "--tiered",
        "--unauthenticated",
        "--remote",
        &storage,
        "new.wat",
    ];
    assert_eq!(on_mount(&place, mount, &args).code, 5);
    let engines = engines_in(&shared);
    assert!(
        matches!(&engines[..], [engine] if !engine.contains("winch")),
        "{engines:?}"
    );
}

#[test]
fn what_one_host_compiles_into_a_registry_others_run_and_pull() {
    let uri = servers::oci();
    let [first, second] = two_hosts(&uri);
    assert_eq!(first.run(&["compile", "0.wat"]).ok().stderr, "");
    assert_eq!(second.run(&RUN).ok().timing().0, "stored");
    let third = Host::of(&uri);
    let text = third.run(&["pull", "--engine", "wasmtime"]).quiet();
    assert!(text.starts_with("pulled 1 "), "{text}");
    third.place.file("0.wat", exits_with(0));
    assert_eq!(third.source_alone("0.wat"), "stored");
}

#[test]
fn a_component_is_shared_as_a_module_is() {
    let uri = servers::s3();
    let component = sample("toolbox.component.wasm");
    let args = ["run", "--timing", &component, "calc", "6 * 7"];
    for source in ["compiled", "stored"] {
        let ran = Host::of(&uri).run(&args).ok();
        assert_eq!((&*ran.timing().0, &*ran.stdout), (source, "42\n"));
    }
}

#[test]
fn what_is_compiled_for_many_files_is_uploaded_before_the_command_ends() {
    let uri = servers::redis();
    for expected in ["compiled", "stored"] {
        let host = Host::of(&uri);
        for code in 0..20 {
            host.place.file(&format!("in/{code}.wat"), exits_with(code));
        }
        let ran = host.run(&["compile", "--json", "in"]).ok();
        assert_eq!(ran.stderr, "");
        let objects = ran.json();
        assert_eq!(objects.len(), 20);
        for object in objects {
            assert_eq!(object["source"], expected, "{object}");
            assert!(object["bytes"].as_u64() > Some(0));
        }
    }
}

#[test]
fn of_two_hosts_at_a_time_one_compiles() {
    let toolbox = sample("toolbox.wasm");
    for uri in [servers::s3(), servers::redis()] {
        let hosts = [(); 2].map(|()| Host::of(&uri));
        let start = |host: &Host| {
            let mut command = host.command(&["compile", "--json", &toolbox]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let running = [start(&hosts[0]), start(&hosts[1])];
        let mut sources = running.map(|child| {
            let ran = Ran::new(&child.wait_with_output().unwrap()).ok();
            ran.json()[0]["source"].as_str().unwrap().to_owned()
        });
        sources.sort_unstable();
        assert_eq!(sources, ["compiled", "stored"], "{uri}");
    }
}

#[test]
fn an_entry_of_another_key_or_of_none_is_a_miss_and_stays() {
    let uri = servers::s3();
    let [first, second] = two_hosts(&uri);
    let source = first.run(&RUN).ok().timing().0;
    assert_eq!(source, "compiled");

    second.key_file("other.key", &key_of("b"));
    for trust in [&["--key", "other.key"][..], &["--unauthenticated"]] {
        let args = [&RUN[..2], &["--cache-dir", "other", "0.wat"]].concat();
        let ran = second.run_trusting(trust, &args).ok();
        assert_eq!(ran.timing().0, "compiled", "{ran:?}");
        fs::remove_dir_all(second.place.path().join("other")).unwrap();
        // Each key has a place of its own, so the other host's entry is still there.
        let args = [&RUN[..2], &["--cache-dir", "new", "0.wat"]].concat();
        let ran = first.run(&args).ok();
        assert_eq!(
            (&*ran.timing().0, ran.stderr.lines().count()),
            ("stored", 1)
        );
        fs::remove_dir_all(first.place.path().join("new")).unwrap();
    }
}

#[test]
fn more_than_the_queue_holds_is_uploaded_all_the_same_and_what_is_not_is_told() {
    let shared = Place::new();
    let host = Host::of(&shared_folder(&shared));
    for code in 0..100 {
        host.place.file(&format!("in/{code}.wat"), exits_with(code));
    }
    assert_eq!(host.run(&["compile", "in"]).ok().stderr, "");
    let other = Host::of(&shared_folder(&shared));
    let ran = other.run(&["pull"]).ok();
    assert!(ran.stdout.starts_with("pulled 100 entries"), "{ran:?}");

    let nowhere = Host::of("s3://nowhere?region=r&endpoint=http://127.0.0.1:1");
    nowhere.place.file("0.wat", exits_with(0));
    let ran = nowhere.run(&["compile", "0.wat"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("not everything was uploaded"),
        "{ran:?}"
    );
}

/// Flips a bit in the middle of every file below a folder.
fn damage_all(folder: &Path) {
    for path in files_below(folder) {
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
}

/// All files in a folder and in those within it.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).unwrap();
    let paths = paths.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn any_number_of_damaged_entries_is_replaced_by_a_host_that_compiles_them() {
    let shared = Place::new();
    let uri = shared_folder(&shared);
    let [first, second, third] = [(); 3].map(|()| Host::of(&uri));
    for host in [&first, &second] {
        for code in 0..8 {
            host.place.file(&format!("in/{code}.wat"), exits_with(code));
        }
    }
    first.run(&["compile", "in"]).ok();
    damage_all(&shared.path().join("shared"));
    second.run(&["compile", "in"]).ok();
    let text = third.run(&["pull"]).quiet();
    assert!(text.starts_with("pulled 8 entries"), "{text}");
}

#[test]
fn a_storage_of_damaged_entries_alone_is_said_to_have_failed() {
    let shared = Place::new();
    let uri = shared_folder(&shared);
    let [first, second] = two_hosts(&uri);
    for code in 0..40 {
        first
            .place
            .file(&format!("in/{code}.wat"), exits_with(code));
    }
    first.run(&["compile", "in"]).ok();
    damage_all(&shared.path().join("shared"));
    let ran = second.run(&["pull"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("it has failed recently"), "{ran:?}");
    assert!(!ran.stderr.contains("sent nothing"), "{ran:?}");
}

#[test]
fn what_was_in_the_folder_before_is_uploaded_where_the_storage_lacks_it() {
    let shared = Place::new();
    let uri = shared_folder(&shared);
    let [first, second] = two_hosts(&uri);
    first.place.store(0..3);
    assert_eq!(first.run(&["compile", "0.wat", "1.wat"]).ok().stderr, "");
    let text = second.run(&["pull"]).quiet();
    assert!(text.starts_with("pulled 2 entries"), "{text}");

    // A storage that is not written to has all, or the command fails.
    let reader = Host::of(&format!("{uri}?read_only=true"));
    reader.place.store(0..3);
    assert_eq!(reader.run(&["compile", "0.wat"]).ok().stderr, "");
    let ran = reader.run(&["compile", "0.wat", "2.wat"]);
    assert!(
        ran.error(1)
            .contains("1 entry is not in the remote storage"),
        "{ran:?}"
    );
}

#[test]
fn without_ca_certificates_plain_http_works_and_https_says_what_to_install() {
    let run = |uri: &str| {
        let host = Host::of(uri);
        host.place.file("0.wat", exits_with(0));
        let mut command = host.command(&RUN);
        command.env_remove("SSL_CERT_DIR");
        command.env("SSL_CERT_FILE", "/nonexistent");
        Ran::new(&command.output().unwrap())
    };
    let uri = servers::s3();
    assert_eq!(run(&uri).ok().timing().0, "compiled");
    let ran = run(&uri).ok();
    assert_eq!(ran.timing().0, "stored");
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");

    let tls = uri.replacen("endpoint=http:", "endpoint=https:", 1);
    for uri in [&*tls, "https://127.0.0.1:1/x", "oci://registry.invalid/a/b"] {
        let ran = run(uri);
        assert!(
            ran.stderr.contains("install `ca-certificates`") && !ran.stderr.contains("panic"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_host_with_a_public_key_loads_and_fails_for_what_it_cannot_upload() {
    let shared = Place::new();
    let [first, second] = two_hosts(&shared_folder(&shared));
    let public = first.place.run(&["key", "new", "writer.key"]).ok().stdout;
    second.place.file("reader.key", public);
    let ran = first.run_trusting(&["--key", "writer.key"], &["compile", "0.wat"]);
    assert_eq!(ran.ok().stderr, "");
    second.place.file("1.wat", exits_with(1));
    let reader = ["--key", "reader.key"];
    let ran = second.run_trusting(&reader, &["compile", "0.wat"]).ok();
    assert_eq!(ran.stderr, "");
    let args = ["compile", "--json", "0.wat", "1.wat"];
    let ran = second.run_trusting(&reader, &args);
    let error = ran.error(1);
    assert!(
        error.contains("1 entry is not in the remote storage: the key can only verify")
            && error.contains("secret key"),
        "{error}"
    );
    let sources = ran
        .json()
        .iter()
        .map(|object| object["source"].clone())
        .collect::<Vec<_>>();
    assert_eq!(
        sources.iter().filter(|source| *source == "stored").count(),
        1,
        "{ran:?}"
    );
}

#[test]
fn a_key_is_changed_in_steps() {
    let uri = servers::s3();
    let [first, second] = two_hosts(&uri);
    first.run(&RUN).ok();
    second.key_file("key", &[key_of("b"), key_of("a")].concat());
    assert_eq!(second.run(&RUN).ok().timing().0, "stored");

    // The first key is the one that signs.
    second.place.file("1.wat", exits_with(1));
    second.run(&["run", "1.wat"]);
    let third = Host::of(&uri);
    third.key_file("key", &key_of("b"));
    third.place.file("1.wat", exits_with(1));
    let ran = third.run(&["run", "--timing", "1.wat"]);
    assert_eq!((ran.code, &*ran.timing().0), (1, "stored"));
}

#[test]
fn the_environment_names_the_storage_and_the_key() {
    let uri = servers::s3();
    let host = Host::of(&uri);
    host.place.file("0.wat", exits_with(0));
    host.run(&RUN).ok();

    let other = Place::new();
    other.file("0.wat", exits_with(0));
    let run = |cache: &str, key: &str, args: &[&str]| {
        let mut command = other.command(&[&RUN[..2], &["--cache-dir", cache], args].concat());
        with_credentials(&mut command);
        command.env("MODULE_CACHE_REMOTE", &uri);
        command.env("MODULE_CACHE_KEY", key);
        Ran::new(&command.output().unwrap())
    };
    assert_eq!(
        run("one", &key_of("a"), &["0.wat"]).ok().timing().0,
        "stored"
    );
    let both = format!("{} {}", key_of("b"), key_of("a"));
    assert_eq!(run("two", &both, &["0.wat"]).ok().timing().0, "stored");

    let secret = "c".repeat(63);
    let ran = run("three", &secret, &["0.wat"]);
    let error = ran.error(1);
    assert!(
        error.contains("MODULE_CACHE_KEY: not a key") && !error.contains(&secret),
        "{error}"
    );
    let path = other.file("fleet.key", key_of("a"));
    let ran = run("three", path.to_str().unwrap(), &["0.wat"]);
    assert!(
        ran.error(1).contains("it holds the name of a file"),
        "{ran:?}"
    );
    assert!(
        run("three", "", &["0.wat"])
            .error(2)
            .contains("MODULE_CACHE_KEY")
    );
    // The command line is said later than the environment.
    let ran = run("three", "nonsense", &["--unauthenticated", "0.wat"]).ok();
    assert_eq!(ran.timing().0, "compiled");
}

#[test]
fn without_the_cache_no_storage_is_asked() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    let mut command = place.command(&["run", "--no-cache", "0.wat"]);
    command.env("MODULE_CACHE_REMOTE", "nonsense");
    assert_eq!(Ran::new(&command.output().unwrap()).quiet(), "");
    for more in [&["--remote", "fs:///tmp/x"][..], &["--unauthenticated"]] {
        let args = [&["run", "--no-cache"], more, &["0.wat"]].concat();
        place.run(&args).error(2);
    }
}

#[test]
fn a_storage_that_is_down_costs_one_warning_and_one_delay() {
    // One that takes connections and never answers, and ones where nobody is.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = servers::free_address();
    for uri in [
        servers::s3_at(silent.local_addr().unwrap()),
        servers::s3_at(gone),
        format!("redis://{gone}/0/x"),
    ] {
        let host = Host::of(&uri);
        host.place.file("hello.wat", prints("hello", false));
        let started = Instant::now();
        let ran = host.run(&["run", "hello.wat"]).ok();
        assert!(started.elapsed() < Duration::from_secs(30), "{uri}");
        assert_eq!(ran.stdout, "hello\n");
        let warning = ran.one_line("module-cache: warning: ");
        assert!(
            warning.contains("going on without the remote storage"),
            "{warning}"
        );
        // What lies in the folder needs no storage.
        assert_eq!(host.run(&["run", "hello.wat"]).quiet(), "hello\n");
        assert_eq!(host.source_alone("hello.wat"), "stored");

        host.place.file("1.wat", exits_with(1));
        let ran = host.run(&["compile", "1.wat"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.stderr.starts_with("module-cache: warning: "), "{ran:?}");
        assert!(
            ran.stderr.contains("not everything was uploaded"),
            "{ran:?}"
        );
        assert_eq!(host.source_alone("1.wat"), "stored");
    }
}

#[test]
fn a_folder_that_cannot_be_used_leaves_the_storage() {
    let uri = servers::s3();
    let [first, second] = two_hosts(&uri);
    first.run(&RUN).ok();
    second.place.file("cache", "a file");
    let ran = second.run(&RUN).ok();
    assert_eq!(ran.timing().0, "stored");
    assert!(ran.stderr.starts_with("module-cache: warning: "), "{ran:?}");
}

#[test]
fn what_is_wrong_with_the_storage_or_the_key_is_one_error() {
    let host = Host::of("fs:///nowhere");
    host.place.file("0.wat", exits_with(0));
    let key = ["--key", "key"];
    for (options, code, says) in [
        (&["--remote", "nonsense"][..], 2, "as in s3://bucket/prefix"),
        (
            &["--remote", "ftp://host/x"],
            2,
            "supported are azblob, fs, ",
        ),
        (&["--remote", "s3://"], 1, "the s3 storage: "),
        (&[], 2, "name it with --remote"),
    ] {
        for command in ["run", "compile"] {
            let args = [&[command], options, &key, &["0.wat"]].concat();
            let ran = host.place.run(&args);
            assert!(ran.error(code).contains(says), "{args:?}: {ran:?}");
        }
    }
    for (trust, code, says) in [
        (&[][..], 2, "--key FILE"),
        (
            &["--key", "missing"],
            1,
            "the key file missing: no such file",
        ),
        (
            &["--key", "key", "--unauthenticated"],
            2,
            "cannot be used with",
        ),
    ] {
        for command in ["run", "compile"] {
            let ran = host.run_trusting(trust, &[command, "0.wat"]);
            assert!(ran.error(code).contains(says), "{trust:?}: {ran:?}");
        }
    }
    assert!(!host.place.cache().exists());
}
