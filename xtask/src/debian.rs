//! Installing packages, where the system is Debian or like it.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Installs `packages`, as root or through `sudo`.
///
/// # Errors
///
/// When that is not possible here, with what to install and how.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = || format!("install these first (on Debian, as root: apt-get install {list})");
    if process::require("apt-get", "--version", "apt").is_err() {
        bail!(by_hand());
    }
    eprintln!("installing {list}");
    let root = process::capture(Command::new("id").arg("-u"))?.trim_ascii() == b"0";
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new(if root { "env" } else { "sudo" });
        if !root {
            command.args(["-n", "env"]);
        }
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]);
        process::run(command.args(arguments)).with_context(by_hand)
    };
    apt_get(&["update"])?;
    apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())
}
