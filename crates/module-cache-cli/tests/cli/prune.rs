//! `module-cache prune`: what goes, what stays, and how limits are written.

use std::time::Duration;

use crate::support::{Entry, Place};

const DAY: Duration = Duration::from_hours(24);

/// A cache of entries of equal size, of which each was used a day after the one before it.
fn of_many_days(place: &Place, count: i32) -> Vec<Entry> {
    let entries = place.store(0..count);
    let mut age = DAY * 10;
    for entry in &entries {
        entry.make_old(age);
        age -= DAY;
    }
    entries
}

fn hashes(entries: &[Entry]) -> Vec<&str> {
    let mut hashes: Vec<_> = entries.iter().map(|entry| entry.hash.as_str()).collect();
    hashes.sort_unstable();
    hashes
}

#[test]
fn what_was_not_used_for_long_goes() {
    let place = Place::new();
    let entries = of_many_days(&place, 4);
    let text = place.run(&["prune", "--max-age", "8.5d"]).quiet();
    assert!(
        text.starts_with("removed 2 entries (") && text.contains("; kept 2 entries ("),
        "{text}"
    );
    assert_eq!(place.hashes(), hashes(&entries[2..]));
    place.run(&["prune", "--max-age", "1w"]).ok();
    assert_eq!(place.hashes(), hashes(&entries[4..]));
}

#[test]
fn the_least_recently_used_go_until_the_rest_fits() {
    let place = Place::new();
    let entries = of_many_days(&place, 4);
    let ran = place.run(&["size", "--json"]).ok();
    let bytes = ran.json()[0]["bytes"].as_u64().unwrap();
    let limit = format!("{}B", bytes / 2);
    let ran = place.run(&["prune", "--json", "--max-size", &limit]).ok();
    assert_eq!(
        ran.json(),
        [serde_json::json!({
            "dry_run": false,
            "removed": 2,
            "removed_bytes": bytes / 2,
            "kept": 2,
            "kept_bytes": bytes / 2,
            "stuck": 0,
            "stale_files": 0,
            "unknown_files": [],
        })]
    );
    assert_eq!(place.hashes(), hashes(&entries[2..]));
}

#[test]
fn a_dry_run_says_the_same_and_removes_nothing() {
    let place = Place::new();
    let entries = of_many_days(&place, 3);
    let args = ["prune", "--max-age", "8d12h", "--dry-run"];
    let text = place.run(&args).quiet();
    assert!(
        text.starts_with("would remove 2 entries (") && text.contains("; keep 1 entry ("),
        "{text}"
    );
    let ran = place.run(&[&args[..], &["--json"]].concat()).ok();
    assert_eq!(ran.json()[0]["dry_run"], true);
    assert_eq!(ran.json()[0]["removed"], 2);
    assert_eq!(place.hashes(), hashes(&entries));
}

#[test]
fn without_limits_a_small_cache_stays() {
    let place = Place::new();
    let entries = of_many_days(&place, 2);
    place.run(&["prune"]).quiet();
    assert_eq!(place.hashes(), hashes(&entries));
}

#[test]
fn what_is_none_of_the_caches_is_left_and_named() {
    let place = Place::new();
    place.store(0..1);
    let notes = place.file("cache/v1/notes.txt", "notes");
    for args in [
        &["prune", "--max-size", "0"][..],
        &["clean"],
        &["prune", "--json"],
    ] {
        let ran = place.run(args).ok();
        let note = ran.one_line("module-cache: note: ");
        assert!(
            note.contains("notes.txt does not belong to the cache"),
            "{note}"
        );
    }
    assert!(notes.exists());
    assert_eq!(place.hashes(), [""; 0]);
}

#[test]
fn limits_without_a_known_unit_are_one_clear_error() {
    let place = Place::new();
    for (option, value, says) in [
        ("--max-size", "500", "as in 500MiB"),
        ("--max-size", "much", "as in 500MiB"),
        ("--max-age", "30", "as in 30d"),
        ("--max-age", "1 fortnight", "as in 30d"),
        ("--max-age=-1d", "", "as in 30d"),
    ] {
        let mut args = vec!["prune", option];
        args.extend(Some(value).filter(|value| !value.is_empty()));
        let ran = place.run(&args);
        assert!(ran.error(2).contains(says), "{option} {value}: {ran:?}");
    }
}
