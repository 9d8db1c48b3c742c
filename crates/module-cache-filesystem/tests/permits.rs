//! Permits between processes, with holders that are busy, dead, or stopped.

#[path = "support/child.rs"]
mod child;
#[path = "support/role.rs"]
mod role;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::{CompilePermit, Engine, EntryKey, EntryStore, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::TestEngine;

fn key() -> EntryKey {
    EntryKey::new(ModuleHash::of(b"cold"), *TestEngine::new("permits").id())
}

fn ask(cache: &FileSystemCache) -> (CompilePermit, Duration) {
    let asked = Instant::now();
    let permit = EntryStore::compile_permit(cache, &key()).unwrap();
    (permit, asked.elapsed())
}

/// As a child: takes the permit, says so, and keeps it until it dies.
fn hold_if_child() {
    if let Some(root) = role::role() {
        let cache = FileSystemCache::open(root).unwrap();
        let (permit, _) = ask(&cache);
        assert!(matches!(permit, CompilePermit::Exclusive(_)));
        eprintln!("held");
        thread::sleep(Duration::from_mins(2));
        drop(permit);
    }
}

/// Starts a process that holds the permit.
fn holder(test: &str, cache: &FileSystemCache) -> Child {
    let mut holder = child::again(test, cache.root().to_str().unwrap())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(holder.stderr.take().unwrap()).lines();
    assert!(
        lines.map_while(Result::ok).any(|line| line == "held"),
        "the child took no permit"
    );
    holder
}

fn folder() -> (FileSystemCache, tempfile::TempDir) {
    let keep = tempfile::tempdir().unwrap();
    (
        FileSystemCache::open(keep.path().join("cache")).unwrap(),
        keep,
    )
}

#[test]
fn a_permit_is_free_the_moment_its_holder_is_killed() {
    hold_if_child();
    let (cache, _keep) = folder();
    let mut holding = holder("a_permit_is_free_the_moment_its_holder_is_killed", &cache);
    let waited = thread::scope(|scope| {
        let waiter = scope.spawn(|| ask(&cache));
        thread::sleep(Duration::from_millis(300));
        assert!(!waiter.is_finished(), "the permit was not exclusive");
        child::kill(&mut holding);
        waiter.join().unwrap()
    });
    assert!(matches!(waited.0, CompilePermit::Waited));
    assert!(waited.1 < Duration::from_secs(5));
    assert!(matches!(ask(&cache).0, CompilePermit::Exclusive(_)));
}

#[test]
fn a_holder_that_is_busy_for_long_is_waited_for() {
    hold_if_child();
    let (cache, _keep) = folder();
    let mut holding = holder("a_holder_that_is_busy_for_long_is_waited_for", &cache);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| ask(&cache));
        // Longer than a silent holder is waited for.
        thread::sleep(Duration::from_secs(13));
        assert!(!waiter.is_finished(), "a living holder was given up");
        child::kill(&mut holding);
        assert!(matches!(waiter.join().unwrap().0, CompilePermit::Waited));
    });
}

#[cfg(unix)]
#[test]
fn past_the_silence_of_a_stopped_holder_one_waiter_goes_on_and_the_others_wait_for_it() {
    hold_if_child();
    let (cache, _keep) = folder();
    let name = "past_the_silence_of_a_stopped_holder_one_waiter_goes_on_and_the_others_wait_for_it";
    let mut holding = holder(name, &cache);
    let pid = rustix::process::Pid::from_child(&holding);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();

    let leaders: usize = thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (permit, waited) = ask(&cache);
                    assert!(waited > Duration::from_secs(9), "given up after {waited:?}");
                    assert!(
                        waited < Duration::from_secs(30),
                        "given up after {waited:?}"
                    );
                    let leads = matches!(permit, CompilePermit::Exclusive(_));
                    // As long as compiling would take, so that the others find the lock held.
                    thread::sleep(Duration::from_secs(if leads { 2 } else { 0 }));
                    usize::from(leads)
                })
            })
            .collect();
        waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .sum()
    });
    child::kill(&mut holding);
    assert_eq!(leaders, 1);
}
