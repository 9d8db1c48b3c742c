//! `module-cache clean`: what is named goes, and nothing else.

use crate::support::{Place, Ran};

#[test]
fn everything_goes_where_nothing_is_named() {
    let place = Place::new();
    place.store(0..3);
    place.store_component();
    let text = place.run(&["clean"]).quiet();
    assert!(text.starts_with("removed 4 entries ("), "{text}");
    assert_eq!(place.hashes(), [""; 0]);
    let text = place.run(&["clean"]).quiet();
    assert_eq!(text, "removed 0 entries (0 B) and 0 stale files\n");
    let ran = place.run(&["run", "--timing", "2.wat"]);
    assert_eq!((ran.code, &*ran.timing().0), (2, "compiled"));
}

#[test]
fn modules_are_named_by_hash_or_by_its_first_digits() {
    let place = Place::new();
    let entries = place.store(0..4);
    let full = &entries[0].hash;
    let upper = entries[1].hash[..8].to_uppercase();
    let ran = place.run(&["clean", "--json", full, &upper]).ok();
    let objects = ran.json();
    assert_eq!(objects.len(), 1, "{ran:?}");
    assert_eq!(objects[0]["removed"], 2);
    assert!(objects[0]["removed_bytes"].as_u64() > Some(0));
    assert_eq!(objects[0]["stale_files"], 0);
    let mut left = [&*entries[2].hash, &*entries[3].hash];
    left.sort_unstable();
    assert_eq!(place.hashes(), left);
    // Twice the same is once.
    let hash = &entries[2].hash;
    let text = place.run(&["clean", hash, &hash[..20]]).quiet();
    assert!(text.starts_with("removed 1 entry ("), "{text}");
}

#[test]
fn an_unknown_hash_is_an_error_and_the_others_go() {
    let place = Place::new();
    let entries = place.store(0..2);
    let hash = &entries[0].hash;
    let unknown = "0".repeat(64);
    let ran = place.run(&["clean", &unknown, hash]);
    let error = ran.error(1);
    assert!(
        error.contains(&unknown) && error.contains("no such module"),
        "{error}"
    );
    assert_eq!(place.hashes(), [&*entries[1].hash]);

    let ran = place.run(&["clean", "--json", &unknown]);
    assert_eq!((ran.code, &*ran.stderr), (1, ""));
    let objects = ran.json();
    assert_eq!(objects[0]["argument"], unknown);
    assert!(objects[0]["error"].is_string());
    assert_eq!(objects[1]["removed"], 0);
}

#[test]
fn digits_that_begin_two_hashes_name_neither() {
    let place = Place::new();
    let entry = place.store(0..1).remove(0);
    let other = entry.copy_beside();
    let ran = place.run(&["clean", &entry.hash[..63]]);
    assert!(
        ran.error(1)
            .contains("the hashes of 2 modules begin with these digits"),
        "{ran:?}"
    );
    assert!(entry.path.exists() && other.path.exists());
    place.run(&["clean", &other.hash]).quiet();
    assert_eq!(place.hashes(), [&*entry.hash]);
}

#[test]
fn what_is_no_hash_is_refused_before_anything_goes() {
    let place = Place::new();
    let entries = place.store(0..1);
    let hash = &entries[0].hash;
    let too_long = format!("{hash}0");
    for wrong in [&hash[..7], "no-hash-at-all", "", &too_long] {
        let ran = place.run(&["clean", hash, wrong]);
        assert!(ran.error(2).contains("64 hexadecimal digits"), "{ran:?}");
    }
    assert_eq!(place.hashes(), [&**hash]);
}

#[test]
fn one_engine_can_go() {
    let place = Place::new();
    let modules = place.store(0..2);
    let component = place.store_component();
    let missing = |ran: &Ran| assert!(ran.error(1).contains("no entries of such an engine"));
    missing(&place.run(&["clean", "--engine", "wasmer"]));
    missing(&place.run(&["clean", "--engine", "wasmer", &component.hash]));
    place.run(&["clean", "--engine", ""]).error(2);

    // A hash of another engine is none of this one.
    let ran = place.run(&["clean", "--engine", &component.engine, &modules[0].hash]);
    assert!(ran.error(1).contains("no such module"), "{ran:?}");
    assert_eq!(place.hashes().len(), 3);

    place
        .run(&["clean", "--engine", &modules[0].engine])
        .quiet();
    assert_eq!(place.hashes(), [&*component.hash]);
}

#[test]
fn programs_that_run_meanwhile_do_not_notice() {
    let place = Place::new();
    place.store(0..4);
    std::thread::scope(|scope| {
        for code in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let file = format!("{code}.wat");
                for _ in 0..20 {
                    assert_eq!(place.run(&["run", &file]).code, code);
                }
            });
        }
        for args in [
            &["clean"][..],
            &["prune", "--max-size", "20K"],
            &["verify", "--repair"],
            &["ls"],
        ] {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..20 {
                    place.run(args).quiet();
                }
            });
        }
    });
    place.run(&["verify"]).quiet();
}
