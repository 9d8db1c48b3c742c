//! The WebAssembly files below the paths of a command line.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result, anyhow};
use walkdir::WalkDir;

/// What stands for a path: the files, or why there are none.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Files by path, and paths that cannot be searched.
    pub(crate) files: Vec<Result<PathBuf, Unusable>>,
    /// Links to folders, which were not followed: they may lead back, or out of what was named.
    pub(crate) links: Vec<PathBuf>,
}

/// A path that holds nothing, and why.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) path: PathBuf,
    pub(crate) error: Error,
}

/// Finds what `paths` name: files as they are, and of folders all .wasm and .wat files at any depth, sorted.
pub(crate) fn find_files(paths: &[PathBuf]) -> Found {
    let mut found = Found::default();
    for path in paths {
        if path.is_dir() {
            search(path, &mut found);
        } else {
            // Whatever is wrong with it shows when it is opened.
            found.files.push(Ok(path.clone()));
        }
    }
    found
}

fn search(root: &Path, found: &mut Found) {
    let before = found.files.len();
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().unwrap_or(root).to_owned();
                let error = Error::from(error).context("cannot be searched");
                found.files.push(Err(Unusable { path, error }));
                continue;
            }
        };
        let (path, kind) = (entry.path(), entry.file_type());
        if kind.is_symlink() && path.is_dir() {
            found.links.push(path.to_owned());
        } else if has_wasm_name(path) && (kind.is_file() || is_file_or_broken(path)) {
            found.files.push(Ok(path.to_owned()));
        }
    }
    if found.files.len() == before {
        found.files.push(Err(Unusable {
            path: root.to_owned(),
            error: anyhow!("no .wasm or .wat file in this folder; name another"),
        }));
    }
}

fn has_wasm_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("wasm") || extension.eq_ignore_ascii_case("wat")
    })
}

/// Not a folder, a pipe or a device, which could be read for ever. A link that leads nowhere is worth an error.
fn is_file_or_broken(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
}
