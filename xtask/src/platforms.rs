//! `cargo xtask platforms`: type-checks the crates for systems that nothing here can run.
//!
//! A check links nothing, so what build scripts have compiled from C is not looked at: a program that writes
//! empty files stands in for the compilers of those systems.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::target::cargo_for;
use crate::workspace::Workspace;

const TARGETS: [&str; 3] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "x86_64-pc-windows-msvc",
];

/// The crates with all their features, and their tests. wasmer takes too long to be checked with each change, and
/// with it all that has a feature for it.
const CRATES: [&str; 10] = [
    "module-cache-core",
    "module-cache-fallback",
    "module-cache-filesystem",
    "module-cache-loader",
    "module-cache-memory",
    "module-cache-remote",
    "module-cache-testkit",
    "module-cache-wasmtime",
    "module-cache-web",
    "xtask",
];

/// What is compiled for this machine only helps to check, and runs for moments: optimizing it takes longer.
pub(crate) const UNOPTIMIZED: &str = "profile.dev.package.\"*\".opt-level=0";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let home = workspace.target.join("platforms");
    let stand_in = StandIn::write(&home.join("compiler"))?;
    let mut check = cargo_for(workspace, "check", &TARGETS)?;
    check.args(["--config", UNOPTIMIZED]);
    for name in CRATES {
        check.args(["--package", name]);
    }
    stand_in.take_part_in(&mut check)?;
    process::run(
        check
            .args(["--tests", "--examples", "--all-features", "--keep-going"])
            .env("CARGO_TARGET_DIR", home),
    )
}

/// The program in the place of C compilers, assemblers and archivers.
struct StandIn {
    folder: PathBuf,
    program: PathBuf,
}

impl StandIn {
    /// Questions are for the preprocessor, which answers for this machine; whatever is to be made is made, empty.
    const SCRIPT: &str = r#"#!/bin/sh
for argument; do
    [ "$argument" = -E ] && exec cc "$@"
done
for argument; do
    file=${argument#?Fo}
    file=${file#?out:}
    case $file in *.o | *.obj | *.a | *.lib) : >"$file" ;; esac
done
"#;

    /// Microsoft's assembler, which is searched for by its name.
    const ASSEMBLER: &str = "ml64.exe";

    fn write(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let program = folder.join("stand-in");
        fs::write(&program, Self::SCRIPT)?;
        process::capture(Command::new("chmod").arg("+x").arg(&program))?;
        // With its permissions.
        fs::copy(&program, folder.join(Self::ASSEMBLER))?;
        Ok(Self {
            folder: folder.to_owned(),
            program,
        })
    }

    /// Build scripts ask for a compiler of the target by these names; the one of this machine stays what it is.
    fn take_part_in(&self, check: &mut Command) -> Result<()> {
        for name in ["TARGET_CC", "TARGET_CXX", "TARGET_AR"] {
            check.env(name, &self.program);
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let path = [self.folder.clone()]
            .into_iter()
            .chain(env::split_paths(&path));
        check.env("PATH", env::join_paths(path)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_makes_what_a_compiler_would_have_made() {
        let folder = tempfile::tempdir().unwrap();
        let stand_in = StandIn::write(folder.path()).unwrap();
        let object = folder.path().join("with space.o");
        let option = |option: &str| [option.as_ref(), object.as_os_str()].join("".as_ref());
        for arguments in [
            vec!["-o".into(), object.clone().into_os_string()],
            vec![option("-Fo")],
            vec![option("/out:")],
        ] {
            process::capture(Command::new(&stand_in.program).args(arguments)).unwrap();
            assert_eq!(fs::read(&object).unwrap(), b"");
            fs::remove_file(&object).unwrap();
        }
    }
}
