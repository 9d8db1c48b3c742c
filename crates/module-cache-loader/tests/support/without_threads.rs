//! A process that has no threads to start, in which Unix alone runs tests.

use std::process::Command;

/// Whether this process is one. If not, starts the `test` that asks alone in one.
#[track_caller]
pub(crate) fn is_without_threads(test: &str) -> bool {
    const CHILD: &str = "MODULE_CACHE_TEST_WITHOUT_THREADS";
    if std::env::var_os(CHILD).is_some() {
        return true;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--test-threads=1"])
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", "200000000000000")
        .output()
        .unwrap();
    // One that ran no test proves nothing.
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("test result: ok. 1 passed"), "{child:?}");
    false
}
