//! The WebAssembly files below the paths of a command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};

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
    let mut files = Vec::new();
    let mut unusable = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let listed = list(&folder, &mut files, &mut folders, &mut found.links);
        if let Err(error) = listed {
            let path = folder;
            unusable.push(Unusable { path, error });
        }
    }
    if files.is_empty() && unusable.is_empty() {
        unusable.push(Unusable {
            path: root.to_owned(),
            error: anyhow!("no .wasm or .wat file in this folder; name another"),
        });
    }
    files.sort();
    unusable.sort_by(|a, b| a.path.cmp(&b.path));
    found.files.extend(files.into_iter().map(Ok));
    found.files.extend(unusable.into_iter().map(Err));
}

fn list(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    folders: &mut Vec<PathBuf>,
    links: &mut Vec<PathBuf>,
) -> Result<()> {
    let context = "cannot be searched";
    for entry in fs::read_dir(folder).context(context)? {
        let entry = entry.context(context)?;
        let kind = entry.file_type().context(context)?;
        let path = entry.path();
        if kind.is_dir() {
            folders.push(path);
        } else if kind.is_symlink() && path.is_dir() {
            links.push(path);
        } else if has_wasm_name(&path) && (kind.is_file() || is_file_or_broken(&path)) {
            files.push(path);
        }
    }
    Ok(())
}

fn has_wasm_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        extension.eq_ignore_ascii_case("wasm") || extension.eq_ignore_ascii_case("wat")
    })
}

/// Not a pipe or a device, which could be read for ever. A link that leads nowhere is worth an error.
fn is_file_or_broken(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
}
