//! `module-cache verify`: what is found wrong, what is removed, and the exit code.

use crate::support::Place;

#[test]
fn a_whole_cache_is_told_so() {
    let place = Place::new();
    place.store(0..3);
    let text = place.run(&["verify"]).quiet();
    assert!(
        text.starts_with("nothing is wrong: 3 entries, ") && text.contains("iB/s; the cache is "),
        "{text}"
    );
    let ran = place.run(&["verify", "--json"]).ok();
    let [summary] = &ran.json()[..] else {
        panic!("{ran:?}");
    };
    assert_eq!(summary["entries"], 3);
    assert_eq!(
        (&summary["faults"], &summary["removed"]),
        (&0.into(), &0.into())
    );
    for number in ["bytes", "elapsed_us", "bytes_per_second"] {
        assert!(summary[number].as_u64() > Some(0), "{summary}");
    }
}

#[test]
fn a_damaged_entry_is_named_and_fails_until_it_is_removed() {
    let place = Place::new();
    let entries = place.store(0..3);
    entries[1].damage();
    for _ in 0..2 {
        let ran = place.run(&["verify"]);
        let error = ran.error(1);
        assert!(
            error.contains(&entries[1].hash) && error.contains("damaged"),
            "{error}"
        );
        assert!(ran.stdout.starts_with("1 faulty: 3 entries, "), "{ran:?}");
    }

    let ran = place.run(&["verify", "--repair"]).ok();
    let warning = ran.one_line("module-cache: warning: ");
    assert!(
        warning.contains(&entries[1].hash) && warning.ends_with("(removed)"),
        "{warning}"
    );
    assert!(ran.stdout.starts_with("1 faulty, 1 removed: 3 "), "{ran:?}");
    assert!(!entries[1].path.exists());

    assert!(place.run(&["verify"]).quiet().contains(": 2 entries, "));
    assert_eq!(
        place.run(&["run", "--timing", "1.wat"]).timing().0,
        "compiled"
    );
}

#[test]
fn json_has_a_line_for_each_fault_and_a_summary() {
    let place = Place::new();
    let entries = place.store(0..2);
    entries[0].damage();
    let misplaced = entries[1].copy_beside();
    for (args, removed, code) in [
        (&["verify", "--json"][..], false, 1),
        (&["verify", "--json", "--repair"], true, 0),
    ] {
        let ran = place.run(args);
        assert_eq!((ran.code, &*ran.stderr), (code, ""));
        let objects = ran.json();
        let (summary, faults) = objects.split_last().unwrap();
        assert_eq!(faults.len(), 2, "{ran:?}");
        for entry in [&entries[0], &misplaced] {
            let path = entry.path.canonicalize().unwrap_or(entry.path.clone());
            let fault = faults.iter().find(|fault| {
                let told = fault["path"].as_str().unwrap();
                told.ends_with(path.file_name().unwrap().to_str().unwrap())
            });
            let fault = fault.unwrap().as_object().unwrap();
            assert_eq!((fault.len(), &fault["removed"]), (3, &removed.into()));
            assert!(fault["reason"].is_string());
        }
        assert_eq!(summary["faults"], 2);
        assert_eq!(summary["removed"], if removed { 2 } else { 0 });
    }
    assert!(entries[1].path.exists());
    place.run(&["verify"]).quiet();
}

#[test]
fn what_repair_must_leave_still_fails() {
    let place = Place::new();
    let entry = place.store(0..1).remove(0);
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&entry.path, mode).unwrap();
    };
    mode(0o666);
    let ran = place.run(&["verify", "--repair"]);
    assert!(ran.error(1).contains("others can write to it"), "{ran:?}");
    assert!(entry.path.exists());
    mode(0o444);
    place.run(&["verify"]).quiet();
}
