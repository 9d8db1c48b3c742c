//! Permits between processes, with holders that are busy, dead, or stopped.

#[path = "support/child.rs"]
mod child;
#[path = "support/role.rs"]
mod role;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
#[cfg(unix)]
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use module_cache_core::permit::{CompilePermit, PermitGuard};
use module_cache_core::{Engine, EntryKey, EntryStore, ModuleHash};
use module_cache_filesystem::FileSystemCache;
use module_cache_testkit::TestEngine;

fn key() -> EntryKey {
    EntryKey::new(ModuleHash::of(b"cold"), *TestEngine::new("permits").id())
}

/// Asks, and waits while another holder has it; `None` when that is over.
fn ask(cache: &FileSystemCache) -> (Option<PermitGuard>, Duration) {
    let asked = Instant::now();
    let guard = match cache.permit(&key()).unwrap() {
        CompilePermit::Exclusive(guard) => Some(guard),
        CompilePermit::Held(wait) => {
            wait.wait(Duration::from_secs(1));
            None
        }
        CompilePermit::Uncoordinated => panic!("a folder coordinates"),
    };
    (guard, asked.elapsed())
}

/// As a child: takes the permit, says so, and keeps it until it dies.
fn hold_if_child() {
    if let Some(root) = role::role() {
        let cache = FileSystemCache::open(root).unwrap();
        let (permit, _) = ask(&cache);
        assert!(permit.is_some());
        eprintln!("held");
        thread::sleep(Duration::from_secs(2 * 60));
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
    assert!(waited.0.is_none());
    assert!(waited.1 < Duration::from_secs(5));
    assert!(ask(&cache).0.is_some());
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
        assert!(waiter.join().unwrap().0.is_none());
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

    // In place of an entry.
    let is_stored = AtomicBool::new(false);
    let leaders: usize = thread::scope(|scope| {
        let waiters: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let begun = Instant::now();
                    while !is_stored.load(Ordering::SeqCst) {
                        let (permit, _) = ask(&cache);
                        if permit.is_none() || is_stored.load(Ordering::SeqCst) {
                            continue;
                        }
                        let waited = begun.elapsed();
                        assert!(waited > Duration::from_secs(9), "given up after {waited:?}");
                        // As long as compiling would take, so that the others find the lock held.
                        thread::sleep(Duration::from_secs(2));
                        is_stored.store(true, Ordering::SeqCst);
                        return 1;
                    }
                    let waited = begun.elapsed();
                    assert!(waited < Duration::from_secs(30), "waited for {waited:?}");
                    0
                })
            })
            .collect();
        waiters
            .into_iter()
            .map(|waiter| waiter.join().unwrap())
            .sum()
    });
    // It is not waited for again.
    assert!(ask(&cache).1 < Duration::from_secs(5));
    child::kill(&mut holding);
    assert_eq!(leaders, 1);
}
