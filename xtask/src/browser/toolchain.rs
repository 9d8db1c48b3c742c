//! Who compiles for the browser: this toolchain where it has the target, else Debian's compiler for it.
//!
//! Debian's comes without the target's standard library and with its source, so that library is built, once
//! for each version of the compiler.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::TARGET;
use crate::target::library_folder;
use crate::workspace::Workspace;
use crate::{debian_rust, process};

const STD_PARTS: &str = "-Zbuild-std=std,panic_abort,panic_unwind,test,proc_macro";

/// A cargo that can compile for [`TARGET`].
pub(super) struct Toolchain {
    /// Where things are built: not where another compiler builds the same.
    pub(super) target: PathBuf,
    debian: Option<Debian>,
}

/// What Debian's compiler needs to be told.
struct Debian {
    sysroot: PathBuf,
    linker: PathBuf,
}

impl Toolchain {
    /// Finds the toolchain, and installs and builds what it lacks.
    pub(super) fn ready(workspace: &Workspace, home: &Path) -> Result<Self> {
        let target = home.join("target");
        if library_folder(&workspace.root, Some(TARGET))?.is_dir() {
            eprintln!("this toolchain has the target {TARGET}");
            return Ok(Self {
                target,
                debian: None,
            });
        }
        debian_rust::ready(TARGET)?;
        Ok(Self {
            target,
            debian: Some(Debian {
                sysroot: ready_sysroot(home)?,
                linker: linker(workspace)?,
            }),
        })
    }

    /// Its cargo, at the root of the workspace.
    pub(super) fn cargo(&self, workspace: &Workspace) -> Command {
        let mut command = process::cargo(&workspace.root);
        if let Some(Debian { sysroot, linker }) = &self.debian {
            command = debian_rust::cargo(&workspace.root);
            command
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                .env("CARGO_ENCODED_RUSTFLAGS", encoded_sysroot(sysroot));
        }
        command.env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// One argument after the other, whatever their paths contain.
fn encoded_sysroot(sysroot: &Path) -> std::ffi::OsString {
    let mut flags = std::ffi::OsString::from("--sysroot\x1f");
    flags.push(sysroot);
    flags
}

/// The linker that comes with this toolchain. Debian's compiler has none for the browser.
fn linker(workspace: &Workspace) -> Result<PathBuf> {
    let linker = library_folder(&workspace.root, None)?
        .with_file_name("bin")
        .join("rust-lld");
    ensure!(
        linker.is_file(),
        "there is no {}; use a toolchain of rustup",
        linker.display()
    );
    Ok(linker)
}

/// The folder of a standard library for the browser, which is built if there is none of this compiler.
fn ready_sysroot(home: &Path) -> Result<PathBuf> {
    let sysroot = home.join(sysroot_name(&debian_rust::version()?));
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    eprintln!("building the standard library of {TARGET}, once (some minutes)");
    let scratch = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(home)?;
    build_std(scratch.path())?;
    let made = scratch.path().join("sysroot");
    let libraries = made.join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libraries)?;
    let built = scratch
        .path()
        .join("target")
        .join(TARGET)
        .join("release/deps");
    for entry in fs::read_dir(built)? {
        let library = entry?.path();
        if library.extension() == Some(OsStr::new("rlib"))
            && let Some(name) = library.file_name()
        {
            fs::copy(&library, libraries.join(name))?;
        }
    }
    // Whole or not at all: the name says that it is complete.
    fs::rename(made, &sysroot)?;
    Ok(sysroot)
}

/// Names a compiler by its version and commit, as in `rustc 1.96.0 (ac68faa20 2026-05-25) (more)`.
fn sysroot_name(version: &str) -> String {
    let words = version.split_whitespace().skip(1).take(2);
    let words: Vec<_> = words.map(|word| word.trim_matches('(')).collect();
    format!("sysroot-{}", words.join("-"))
}

/// Builds the standard library as what an empty package needs.
fn build_std(folder: &Path) -> Result<()> {
    let manifest = "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
                    [lib]\npath = \"lib.rs\"\n\n[workspace]\n";
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("lib.rs"), "#![no_std]\n")?;
    process::run(
        debian_rust::cargo_for_std(folder)
            .args(["build", "--release", STD_PARTS, "--target", TARGET])
            .env("CARGO_TARGET_DIR", folder.join("target"))
            // Programs that are optimized as a whole need it, and cargo leaves it out.
            .env("CARGO_ENCODED_RUSTFLAGS", "-Cembed-bitcode=yes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_compiler_has_a_library_of_its_own() {
        let name =
            sysroot_name("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n");
        assert_eq!(name, "sysroot-1.96.0-ac68faa20");
    }
}
