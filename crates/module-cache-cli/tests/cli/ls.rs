//! `module-cache ls`: which entries are listed, in which order, and what is said of each.

use std::fs;
use std::time::{Duration, SystemTime};

use crate::support::{Place, sample};

const HOUR: Duration = Duration::from_hours(1);

/// The hashes, in the order in which they are listed.
#[track_caller]
fn listed(place: &Place, args: &[&str]) -> Vec<String> {
    let text = place.run(&[&["ls"], args].concat()).quiet();
    let hash = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    text.lines().map(hash).collect()
}

#[test]
fn an_empty_cache_has_no_lines() {
    let place = Place::new();
    place.store(0..1);
    place.run(&["clean"]).ok();
    assert_eq!(place.run(&["ls"]).quiet(), "");
    assert_eq!(place.run(&["ls", "--json"]).quiet(), "");
}

#[test]
fn people_get_a_line_for_each_entry() {
    let place = Place::new();
    let entry = place.store(0..1).remove(0);
    entry.make_old(HOUR * 30);
    let text = place.run(&["ls"]).quiet();
    let words: Vec<_> = text.split_whitespace().collect();
    let [used, _, "KiB", age, engine, hash] = words[..] else {
        panic!("{text}");
    };
    assert_eq!((used, age), ("1d", "1d"));
    assert_eq!((engine, hash), (&*entry.engine, &*entry.hash));
}

#[test]
fn json_says_the_same_in_numbers() {
    let place = Place::new();
    let entry = place.store(0..1).remove(0);
    entry.make_old(HOUR);
    let ran = place.run(&["ls", "--json"]).ok();
    let objects = ran.json();
    assert_eq!(objects.len(), 1);
    let stored = SystemTime::now() - HOUR;
    let stored = stored.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    for time in ["stored", "last_use"] {
        let time = objects[0][time].as_u64().unwrap();
        assert!(time.abs_diff(stored.as_secs()) < 60, "{}", objects[0]);
    }
    assert_eq!(objects[0]["hash"], entry.hash);
    assert_eq!(objects[0]["engine"], entry.engine);
    let len = fs::metadata(&entry.path).unwrap().len();
    assert_eq!(objects[0]["bytes"], len);
    assert_eq!(objects[0].as_object().unwrap().len(), 5);
}

#[test]
fn entries_are_sorted_by_use_size_or_age() {
    let place = Place::new();
    let toolbox = sample("toolbox.wasm");
    let ran = place.run(&["compile", "--json", &toolbox]).ok();
    let large = ran.json()[0]["hash"].as_str().unwrap().to_owned();
    let small = place.store(0..2);
    small[0].make_old(HOUR * 2);
    small[1].make_old(HOUR);
    // By age the one that was used just now comes first all the same.
    place.run(&["run", "0.wat"]).ok();

    let (first, second) = (small[0].hash.as_str(), small[1].hash.as_str());
    assert_eq!(listed(&place, &["--sort", "age"]), [first, second, &large]);
    assert_eq!(listed(&place, &["--sort", "size"])[0], large);
    assert_eq!(listed(&place, &["--sort", "use"])[2], second);
    assert_eq!(listed(&place, &[]), listed(&place, &["--sort", "use"]));
}

#[test]
fn an_engine_is_named_in_full_or_by_its_beginning() {
    let place = Place::new();
    let module = place.store(0..1).remove(0);
    let component = place.store_component();
    let (label, _) = component.engine.rsplit_once('-').unwrap();
    for id in [&component.engine, label, &label[..label.len() - 3]] {
        assert_eq!(
            listed(&place, &["--engine", id]),
            [&*component.hash],
            "{id}"
        );
    }
    assert_eq!(listed(&place, &["--engine", "wasmtime-"]).len(), 2);
    assert_eq!(
        listed(&place, &["--engine", &module.engine]),
        [&*module.hash]
    );
}

#[test]
fn an_engine_that_has_nothing_is_noted() {
    let place = Place::new();
    place.store(0..1);
    let ran = place.run(&["ls", "--engine", "wasmer"]).ok();
    assert_eq!(ran.stdout, "");
    ran.one_line("module-cache: note: the cache has no entries of engine wasmer");
    // A variable that was not set.
    place.run(&["ls", "--engine", ""]).error(2);
}
