//! The programs of wasm-bindgen, which have to be of the very version that the lock file has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use toml::Table;

use crate::workspace::Workspace;
use crate::{installed, process};

const PACKAGE: &str = "wasm-bindgen-cli";
const TOOL: &str = "wasm-bindgen";
const TEST_RUNNER: &str = "wasm-bindgen-test-runner";

/// The folder that has both programs.
pub(super) struct WasmBindgen(PathBuf);

impl WasmBindgen {
    /// Finds the programs, or builds them.
    pub(super) fn ready(workspace: &Workspace, home: &Path) -> Result<Self> {
        let lock: Table = fs::read_to_string(workspace.root.join("Cargo.lock"))
            .context("there is no Cargo.lock")?
            .parse()?;
        let version =
            locked_version(&lock, TOOL).with_context(|| format!("the lock file has no {TOOL}"))?;
        let root = home.join(format!("{TOOL}-{version}"));
        let programs = [TOOL, TEST_RUNNER];
        Ok(Self(installed::ready(&root, PACKAGE, version, &programs)?))
    }

    /// What runs test programs.
    pub(super) fn test_runner(&self) -> PathBuf {
        self.0.join(TEST_RUNNER)
    }

    /// Makes what a page imports of a compiled program, in `folder`.
    pub(super) fn bind(&self, program: &Path, folder: &Path) -> Result<()> {
        let options = ["--target=web", "--no-typescript", "--remove-name-section"];
        process::run(
            Command::new(self.tool())
                .args(options)
                .arg("--out-dir")
                .arg(folder)
                .arg(program),
        )
    }

    fn tool(&self) -> PathBuf {
        self.0.join(TOOL)
    }
}

fn locked_version<'a>(lock: &'a Table, name: &str) -> Option<&'a str> {
    let packages = lock.get("package")?.as_array()?;
    let package = packages
        .iter()
        .find(|package| package.get("name").and_then(|name| name.as_str()) == Some(name))?;
    package.get("version")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    [[package]]\nname = \"b\"\nversion = \"2.0.0\"\n";
        let lock = lock.parse().unwrap();
        assert_eq!(locked_version(&lock, "b"), Some("2.0.0"));
        assert_eq!(locked_version(&lock, "c"), None);
    }
}
