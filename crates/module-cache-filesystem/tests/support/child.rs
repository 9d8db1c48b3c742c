//! Running a part of a test in another process: the test's own binary, asked for that one test again.

use std::process::{Child, Command, Stdio};

use crate::role::ROLE;

/// A command that runs the test `name` again, as a child with this role.
pub(crate) fn again(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .stdout(Stdio::null());
    command
}

/// Kills a child as the system does, with no chance to clean up.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}
