//! A WebAssembly file as it is named on the command line: what it holds, and its hash.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use module_cache::{FileSystemCache, ModuleHash};

use crate::hash_function::HashFunction;

/// A file that holds WebAssembly, as far as its first bytes tell, and that is not hashed yet.
#[derive(Debug)]
pub(crate) struct OpenFile {
    kind: Kind,
    content: Content,
}

/// The same with its hash.
#[derive(Debug)]
pub(crate) struct WasmFile {
    file: OpenFile,
    hash: ModuleHash,
    hash_function: HashFunction,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Module,
    Component,
}

#[derive(Debug)]
enum Content {
    /// A binary file, which is read only if it must be compiled.
    InFile(PathBuf),
    InMemory(Vec<u8>),
}

/// Enough to see what a file holds before all of it is read.
const HEAD_LEN: usize = 4096;

const MAGIC: &[u8] = b"\0asm";

impl OpenFile {
    /// Opens a file, binary or text.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not WebAssembly. The errors do not name the file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(not_opened)?;
        if metadata.is_dir() {
            bail!("a folder; name a .wasm or .wat file in it");
        }
        let mut file = File::open(path).map_err(not_opened)?;
        let head = read_head(&mut file)?;
        if head.is_empty() {
            bail!("empty; build or fetch it again");
        }
        // A pipe can be read only once.
        if head.starts_with(MAGIC) && metadata.is_file() {
            return Ok(Self {
                kind: kind(&head)?,
                content: Content::InFile(path.to_owned()),
            });
        }
        Self::read(head, file)
    }

    /// Reads standard input to its end.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub(crate) fn from_stdin() -> Result<Self> {
        let mut stdin = io::stdin().lock();
        let head = read_head(&mut stdin)?;
        if head.is_empty() {
            bail!("empty; pipe a .wasm or .wat file into it");
        }
        Self::read(head, stdin)
    }

    /// Hashes the binary form. Of a file that did not change, `folder` may know the hash.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub(crate) fn hashed(
        self,
        function: HashFunction,
        folder: Option<&FileSystemCache>,
    ) -> Result<WasmFile> {
        let hash = match &self.content {
            Content::InFile(path) => function.of_file(path, folder).context("cannot be read")?,
            Content::InMemory(wasm) => function.of(wasm),
        };
        Ok(WasmFile {
            file: self,
            hash,
            hash_function: function,
        })
    }

    fn read(head: Vec<u8>, mut rest: impl Read) -> Result<Self> {
        let is_text = match head.trim_ascii_start() {
            // All that a text can start with is a parenthesis or a comment.
            [] | [b'(' | b';', ..] => true,
            _ if head.starts_with(MAGIC) => false,
            _ => bail!(
                "not WebAssembly: it starts with \"{}\"; name a .wasm or .wat file",
                head[..head.len().min(12)].escape_ascii()
            ),
        };
        let mut bytes = head;
        rest.read_to_end(&mut bytes).context("cannot be read")?;
        let wasm = if is_text { parse_text(&bytes)? } else { bytes };
        Ok(Self {
            kind: kind(&wasm)?,
            content: Content::InMemory(wasm),
        })
    }
}

impl WasmFile {
    pub(crate) fn kind(&self) -> Kind {
        self.file.kind
    }

    /// The hash of the binary form.
    pub(crate) fn hash(&self) -> ModuleHash {
        self.hash
    }

    /// The binary form.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is not the one any more that was hashed.
    pub(crate) fn fetch(&self) -> io::Result<Cow<'_, [u8]>> {
        match &self.file.content {
            Content::InMemory(wasm) => Ok(wasm.into()),
            Content::InFile(path) => {
                let wasm = fs::read(path)?;
                // Code must not be stored under the hash of other wasm.
                if self.hash_function.of(&wasm) != self.hash {
                    return Err(io::Error::other(
                        "it changed while it was read; try again, and `touch` it if that does not help",
                    ));
                }
                Ok(wasm.into())
            }
        }
    }
}

fn not_opened(error: io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::NotFound {
        anyhow!("no such file; check its name")
    } else {
        anyhow::Error::from(error).context("cannot be opened")
    }
}

fn read_head(file: &mut impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD_LEN);
    file.take(HEAD_LEN as u64)
        .read_to_end(&mut head)
        .context("cannot be read")?;
    Ok(head)
}

/// What follows the magic number: for modules a version, for components a version and a layer.
fn kind(wasm: &[u8]) -> Result<Kind> {
    match wasm.get(MAGIC.len()..8) {
        Some([1, 0, 0, 0]) => Ok(Kind::Module),
        Some([_, _, 1, 0]) => Ok(Kind::Component),
        Some(_) => bail!("this version of WebAssembly is not supported"),
        None => bail!("truncated; build or fetch it again"),
    }
}

fn parse_text(text: &[u8]) -> Result<Vec<u8>> {
    wat::parse_bytes(text)
        .map(Cow::into_owned)
        .map_err(|error| anyhow!("{}", first_line(&error.to_string())))
}

/// The message and its place, out of a picture of the lines around it:
///
/// ```text
/// expected `(`
///      --> <anon>:1:2
///       |
///     1 | hello
/// ```
fn first_line(picture: &str) -> String {
    let message = picture.lines().next().unwrap_or_default();
    let message = message.replace(" at <anon>:", " at line:column ");
    match picture
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("--> <anon>:"))
    {
        Some(place) => format!("not valid WebAssembly text: {message} (line:column {place})"),
        None => format!("not valid WebAssembly text: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_after_it_was_hashed_is_not_compiled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("module.wasm");
        for function in [HashFunction::Blake3, HashFunction::Sha256] {
            fs::write(&path, b"\0asm\x01\0\0\0").unwrap();
            let file = OpenFile::open(&path)
                .unwrap()
                .hashed(function, None)
                .unwrap();
            assert_eq!(&*file.fetch().unwrap(), b"\0asm\x01\0\0\0");
            // An empty custom section is another module.
            fs::write(&path, b"\0asm\x01\0\0\0\0\x01\0").unwrap();
            let error = file.fetch().unwrap_err().to_string();
            assert!(error.contains("changed while it was read"), "{error}");
        }
    }
}
