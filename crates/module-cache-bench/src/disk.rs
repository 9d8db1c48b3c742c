//! Where measurements write: on the disk of the target folder, because `/tmp` may be memory.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The folder that cargo builds in.
///
/// # Panics
///
/// When this program is not in one.
pub fn target_folder() -> PathBuf {
    let program = env::current_exe().expect("the system says which program this is");
    let folders = program.ancestors();
    folders
        .filter(|folder| folder.join("CACHEDIR.TAG").is_file())
        .last()
        .map(Path::to_owned)
        .expect("benchmarks run from where cargo built them")
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
