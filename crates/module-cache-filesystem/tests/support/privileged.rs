//! Tests that need root, and file systems that they mount.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::role;

#[track_caller]
pub(crate) fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test changes owners and mounts: run it as root, as in a container, or leave it out"
    );
}

/// A child that ran no test proves nothing.
#[track_caller]
pub(crate) fn assert_passed(outcome: &Output) {
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned()
        + &String::from_utf8_lossy(&outcome.stdout);
    assert!(
        outcome.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// Mounts `options` on a new directory, in a mount namespace that ends with the child, and runs the test
/// again there.
pub(crate) fn on_mount(options: &str, source: &Path, name: &str) {
    let keep = tempfile::tempdir().unwrap();
    let script = r#"mount $0 "$1" "$2" && exec "$3" --exact "$4" --nocapture"#;
    let script = script.replace("$0", options);
    let outcome = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(source)
        .arg(keep.path())
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(role::ROLE, keep.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_passed(&outcome);
}
