//! Where measurements write: on the disk of the target folder, because `/tmp` may be memory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The folder that cargo builds in, as cargo says.
///
/// # Panics
///
/// When cargo cannot be asked.
pub fn target_folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let answer = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--no-deps"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo can be started");
        let metadata: Value =
            serde_json::from_slice(&answer.stdout).expect("cargo describes this workspace");
        let folder = metadata["target_directory"].as_str();
        folder.expect("a workspace has a target folder").into()
    })
}

/// A folder that stays, for what takes long to make.
///
/// # Panics
///
/// When it cannot be created.
pub fn kept_folder(name: &str) -> PathBuf {
    let folder = target_folder().join("bench").join(name);
    fs::create_dir_all(&folder).expect("the target folder is writable");
    folder
}

/// A folder that is removed with the value.
///
/// # Panics
///
/// When it cannot be created.
pub fn scratch_folder() -> TempDir {
    TempDir::new_in(kept_folder("scratch")).expect("the target folder is writable")
}
