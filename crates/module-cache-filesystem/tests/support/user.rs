//! Running a part of a test as another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::privileged::assert_passed;
use crate::role;

/// Runs the test `name` as another user, whom nothing in the way keeps out.
pub(crate) fn as_user(user: u32, name: &str, role: &str) {
    let keep = tempfile::tempdir().unwrap();
    fs::set_permissions(keep.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = keep.path().join("test");
    // By another process: while this one has the copy open for writing, children that other tests start
    // have it too, and it cannot be executed.
    let mut copy = Command::new("cp");
    copy.arg(std::env::current_exe().unwrap()).arg(&program);
    assert!(copy.status().unwrap().success());
    let outcome = Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .env(role::ROLE, role)
        .uid(user)
        .gid(user)
        .current_dir("/")
        .output()
        .unwrap();
    assert_passed(&outcome);
}
