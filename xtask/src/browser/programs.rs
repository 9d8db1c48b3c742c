//! The programs that run the tests: Chromium, its driver, and Node.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::json;

use crate::debian;

/// What Chromium is started with. Root and containers cannot have its sandbox, and all that runs in it here is
/// this repository's own; the rest keeps it from asking the network for things of its own.
pub(super) const CHROMIUM_OPTIONS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// Where the programs are.
pub(super) struct Programs {
    pub(super) chromium: PathBuf,
    pub(super) chromedriver: PathBuf,
}

impl Programs {
    /// Finds the programs and installs those that are missing.
    pub(super) fn ready() -> Result<Self> {
        let all = [
            ("chromium", "chromium"),
            ("chromedriver", "chromium-driver"),
            ("node", "nodejs"),
        ];
        let missing: Vec<_> = all
            .iter()
            .filter(|(program, _)| find(program).is_err())
            .map(|(_, package)| *package)
            .collect();
        if !missing.is_empty() {
            debian::install(&missing)?;
        }
        find("node")?;
        Ok(Self {
            chromium: find("chromium")?,
            chromedriver: find("chromedriver")?,
        })
    }

    /// Writes the file that tells the test runner how to start Chromium, and returns its path.
    pub(super) fn write_driver_options(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("webdriver.json");
        let options = json!({
            "goog:chromeOptions": { "binary": self.chromium, "args": CHROMIUM_OPTIONS }
        });
        fs::write(&path, options.to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// The program as the shell would find it.
fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|place| place.is_file())
        .with_context(|| format!("there is no `{program}` on the PATH"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find("sh").unwrap().is_absolute());
        let error = find("no-such-program-here").unwrap_err();
        assert!(
            error.to_string().contains("no-such-program-here"),
            "{error}"
        );
    }
}
