//! `cargo xtask wasmers`: tests the wasmer adapter with other versions of wasmer than that of the lock file, each with a Rust
//! that it can be built with.

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::workspace_copy::{self, copy_folder};
use crate::{corpus, platforms, process, toolchain};

/// What is tested: versions of wasmer and of wasmer-wasix that belong together, with a version of Rust.
pub(crate) const TESTED: [(&str, &str, &str); 1] = [("7.5.0", "0.705.0", "1.96")];

pub(crate) const ADAPTER: &str = "module-cache-wasmer";

/// What the tests of the adapter share with those of other crates.
const SHARED: [&str; 2] = ["crates/module-cache/tests/support", "samples"];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let corpus = corpus::bring(workspace)?;
    for (wasmer, wasix, rust) in TESTED {
        let copy = workspace.target.join(format!("wasmers/{wasmer}"));
        let (exactly, wasix) = (format!("={wasmer}"), format!("={wasix}"));
        let versions = [
            ("wasmer", &*exactly),
            ("wasmer-compiler", &exactly),
            ("wasmer-middlewares", &exactly),
            ("wasmer-types", &exactly),
            ("wasmer-wasix", &wasix),
        ];
        let target = copy.join("target");
        workspace_copy::write(workspace, ADAPTER, &copy, &versions)
            .and_then(|()| {
                let copy_shared = |name| copy_folder(&workspace.root.join(name), &copy.join(name));
                SHARED.into_iter().try_for_each(copy_shared)
            })
            .and_then(|()| copy_folder(&corpus, &target.join("corpus")))
            .with_context(|| format!("cannot prepare {}", copy.display()))?;
        let mut test = toolchain::cargo(&copy, rust)?;
        process::run(
            test.args(["test", "--package", ADAPTER])
                .args(["--features", "cranelift,singlepass,wasix"])
                .args(["--config", platforms::UNOPTIMIZED])
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env("CARGO_TARGET_DIR", &target),
        )
        .with_context(|| format!("wasmer {wasmer} with Rust {rust}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    #[test]
    fn the_requirement_ends_with_the_newest_that_is_tested() {
        let root = Workspace::load().unwrap().root;
        let manifest = manifest::read(&root.join("Cargo.toml")).unwrap();
        let [.., (wasmer, wasix, _)] = TESTED;
        for (name, newest) in [("wasmer", wasmer), ("wasmer-wasix", wasix)] {
            let mut parts = newest.split('.');
            let (major, minor) = (parts.next().unwrap(), parts.next().unwrap());
            let next: u64 = minor.parse::<u64>().unwrap() + 1;
            let requirement = manifest::dependency(&manifest, name).unwrap();
            let end = format!("<{major}.{next}");
            assert!(requirement.ends_with(&end), "{name} {requirement}");
        }
    }
}
