//! `module-cache size`: what is counted, and what is only named.

use std::fs;

use crate::support::{Entry, Place};

fn blocks(entries: &[Entry]) -> u64 {
    let len = |entry: &Entry| fs::metadata(&entry.path).unwrap().len();
    entries
        .iter()
        .map(|entry| len(entry).next_multiple_of(4096))
        .sum()
}

#[test]
fn json_counts_entries_and_bytes_in_all_and_for_each_engine() {
    let place = Place::new();
    let modules = place.store(0..3);
    let component = place.store_component();
    let ran = place.run(&["size", "--json"]).ok();
    let objects = ran.json();
    assert_eq!(ran.stderr, "");
    let (of_modules, of_component) = (blocks(&modules), blocks(std::slice::from_ref(&component)));
    let mut engines = [
        serde_json::json!({"engine": modules[0].engine, "entries": 3, "bytes": of_modules}),
        serde_json::json!({"engine": component.engine, "entries": 1, "bytes": of_component}),
    ];
    engines.sort_by_key(|engine| engine["engine"].to_string());
    assert_eq!(
        objects,
        [serde_json::json!({
            "folder": place.cache(),
            "entries": 4,
            "bytes": of_modules + of_component,
            "max_size": 10_u64 << 30,
            "engines": engines,
            "unknown_files": [],
        })]
    );
}

#[test]
fn people_get_a_line_for_each_engine_and_one_for_all() {
    let place = Place::new();
    let modules = place.store(0..2);
    let component = place.store_component();
    let text = place.run(&["size"]).quiet();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let of = |engine: &str| lines.iter().find(|line| line.ends_with(engine)).unwrap();
    assert!(of(&modules[0].engine).contains(" 2 entries "), "{text}");
    assert!(of(&component.engine).contains(" 1 entry "), "{text}");
    let cache = place.cache();
    let end = format!("in {}, limited to 10.00 GiB", cache.display());
    assert!(
        lines[2].contains(" 3 entries ") && lines[2].ends_with(&end),
        "{text}"
    );
}

#[test]
fn what_is_none_of_the_caches_is_named_and_not_counted() {
    let place = Place::new();
    place.store(0..1);
    let bytes = |stdout: &serde_json::Value| stdout["bytes"].as_u64().unwrap();
    let before = bytes(&place.run(&["size", "--json"]).ok().json()[0]);
    let notes = place.file("cache/v1/notes.txt", vec![0; 100_000]);
    let ran = place.run(&["size", "--json"]).ok();
    let note = ran.one_line("module-cache: note: ");
    assert!(
        note.contains("v1/notes.txt does not belong to the cache"),
        "{note}"
    );
    let object = &ran.json()[0];
    assert_eq!(bytes(object), before);
    assert_eq!(
        object["unknown_files"],
        serde_json::json!([notes.canonicalize().unwrap()])
    );
}

#[test]
fn the_limit_is_the_folders_and_every_command_keeps_to_it() {
    let place = Place::new();
    let max_size = || place.run(&["size", "--json"]).ok().json()[0]["max_size"].clone();
    place.run(&["size", "--max-size", "100GiB"]).quiet();
    assert_eq!(max_size(), 100_u64 << 30);
    let entries = place.store(0..4);
    place.run(&["prune"]).quiet();
    assert_eq!(max_size(), 100_u64 << 30);
    assert_eq!(place.hashes().len(), 4);

    // What is there stays until something is stored, or pruned.
    let half = format!("{}B", blocks(&entries) / 2);
    let text = place.run(&["size", "--max-size", &half]).quiet();
    assert!(text.contains(" 4 entries "), "{text}");
    let text = place.run(&["prune"]).quiet();
    assert!(text.starts_with("removed 2 entries "), "{text}");
    place.store(10..14);
    assert!(place.hashes().len() <= 2);
}

#[test]
fn a_limit_that_cannot_be_set_is_an_error() {
    let place = Place::new();
    let ran = place.run(&["size", "--max-size", "100"]);
    assert!(ran.error(2).contains("as in 500MiB"), "{ran:?}");
    place.store(0..1);
    std::fs::create_dir(place.v1().join("limit")).unwrap();
    let ran = place.run(&["size", "--max-size", "1GiB"]);
    assert!(ran.error(1).contains("limit"), "{ran:?}");
}
