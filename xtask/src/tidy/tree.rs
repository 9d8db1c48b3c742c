//! The files that rules look at, in memory, so that a test can make a tree with a fault in it.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// The files of the repository: those under version control and those that could be put there.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One file.
pub(super) struct File {
    /// From the root, with `/` between its parts.
    pub(super) path: String,
    /// What git has of it: of a symbolic link, the path that it names.
    pub(super) bytes: Vec<u8>,
}

/// Something that is against a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Tree {
    pub(super) fn read(root: &Path) -> Result<Self> {
        // The files may belong to somebody else, in a container for instance; git only lists them here.
        let list = [
            "-c",
            "safe.directory=*",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let listed = process::capture(Command::new("git").args(list).current_dir(root))
            .context("tidy looks at what git lists, and needs git and a clone")?;
        let paths: BTreeSet<_> = String::from_utf8(listed)?
            .split_terminator('\0')
            .map(str::to_owned)
            .collect();
        let mut files = Vec::new();
        for path in paths {
            match content(&root.join(&path)) {
                Ok(bytes) => files.push(File { path, bytes }),
                // Removed, and not yet from version control.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
            }
        }
        Ok(Self { files })
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File {
            path: (*path).to_owned(),
            bytes: text.as_bytes().to_vec(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    /// The text files whose name ends so.
    pub(super) fn texts(&self, end: &'static str) -> impl Iterator<Item = (&File, &str)> {
        self.files
            .iter()
            .filter(move |file| file.path.ends_with(end))
            .filter_map(|file| Some((file, file.text()?)))
    }

    /// Whether there is a file or a folder with this path.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty()
            || self.files.iter().any(|file| {
                file.path
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }
}

impl File {
    /// Its text; `None` for other bytes.
    pub(super) fn text(&self) -> Option<&str> {
        if self.bytes.contains(&0) {
            None
        } else {
            str::from_utf8(&self.bytes).ok()
        }
    }

    /// A fault in this file; lines count from 1.
    pub(super) fn fault(&self, line: usize, message: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    if path.symlink_metadata()?.is_symlink() {
        return Ok(fs::read_link(path)?.into_os_string().into_encoded_bytes());
    }
    fs::read(path)
}

/// The lines of a text, counted from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The lines of `faults`, for tests.
#[cfg(test)]
pub(super) fn lines_of(faults: &[Fault]) -> Vec<(&str, usize)> {
    faults
        .iter()
        .map(|fault| (fault.path.as_str(), fault.line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_when_a_file_is_in_it() {
        let tree = Tree::of(&[("docs/format.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/format.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/format"));
    }

    #[test]
    fn a_link_is_the_path_that_it_names() {
        let workspace = crate::workspace::Workspace::load().unwrap();
        let tree = Tree::read(&workspace.root).unwrap();
        let text = |path| {
            let file = tree.files.iter().find(|file| file.path == path);
            file.unwrap().text()
        };
        assert_eq!(text("crates/module-cache/LICENSE"), Some("../../LICENSE"));
        assert!(text("LICENSE").unwrap().starts_with("MIT License"));
    }

    #[test]
    fn bytes_that_are_no_text_have_no_text() {
        let file = |bytes: &[u8]| File {
            path: "x".to_owned(),
            bytes: bytes.to_vec(),
        };
        assert_eq!(file(b"\0asm").text(), None);
        assert_eq!(file(b"\xff").text(), None);
        assert_eq!(file(b"text").text(), Some("text"));
    }
}
